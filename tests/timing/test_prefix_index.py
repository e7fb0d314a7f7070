"""A full prefix index decides in microseconds, holds the loop for none of its steps, and is small."""

from __future__ import annotations

import pytest

from tests.timing.prefix_index import MIB, longest_prompt, measure, slower

pytestmark = pytest.mark.timing

MULTIPLE = 3
STEP_US = 2_000
ADD_US = 30
BYTES_PER_PAIR = 512 * MIB / 10_000_000


@pytest.mark.parametrize(("replicas", "decision_us"), [(16, 25), (256, 40)])
def test_a_full_index_of_a_million_pairs(replicas: int, decision_us: float) -> None:
    costs = measure(1_000_000, replicas, shared=False, samples=1000)
    scale = slower() * MULTIPLE
    assert costs.steps["decision: chain, match, all costs"].median < decision_us * scale
    assert costs.steps["add, all new, at capacity"].median < ADD_US * scale
    assert costs.steps["add, where it was before"].median < ADD_US * scale
    assert {name for name, cost in costs.steps.items() if cost.worst > STEP_US * scale} == set()
    assert costs.bytes / costs.pairs < BYTES_PER_PAIR


def test_the_longest_prompt_where_the_shortest_were() -> None:
    assert longest_prompt().median < STEP_US * slower() * MULTIPLE
