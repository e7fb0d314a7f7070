"""A decision of the route that is served, from raw body to choice, takes microseconds; and a missed bar is said."""

from __future__ import annotations

import pytest

from tests.timing.decision import ADD_BAR_US, BARS_US, measure, together, verdict
from tests.timing.prefix_index import Cost

pytestmark = pytest.mark.timing

MULTIPLE = 3


@pytest.mark.parametrize("replicas", list(BARS_US))
def test_a_decision_of_a_full_index(replicas: int) -> None:
    parts = measure(500_000, replicas, shared=False, samples=300, repetitions=3)
    by = [part.slower for part in parts]
    assert together([part.decision for part in parts], by).median < BARS_US[replicas][0] * MULTIPLE
    assert together([part.add for part in parts], by).median < ADD_BAR_US * MULTIPLE


def test_the_verdict_names_what_is_missed() -> None:
    assert verdict(Cost(25.0, 30.0, 900.0), 25.0, 30.0) == "met"
    assert verdict(Cost(25.5, 30.5, 900.0), 25.0, 30.0) == "MISSED: median and p95"
    assert verdict(Cost(15.0, 30.5, 900.0), 25.0, 30.0) == "MISSED: p95"
    assert verdict(Cost(15.0, 30.5, 900.0), 25.0) == "met"


def test_one_part_in_which_a_neighbour_was_busy_decides_nothing() -> None:
    quiet, busy = Cost(20.0, 30.0, 90.0), Cost(40.0, 300.0, 900.0)
    assert together([quiet, busy, quiet], [2.0, 1.0, 2.0]) == Cost(10.0, 15.0, 900.0)
