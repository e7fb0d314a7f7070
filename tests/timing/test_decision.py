"""A decision of the route that is served, from raw body to choice, takes microseconds; and a missed bar is said."""

from __future__ import annotations

import pytest

from tests.timing.decision import BARS_US, measure, verdict
from tests.timing.prefix_index import Cost, slower

pytestmark = pytest.mark.timing

MULTIPLE = 3


@pytest.mark.parametrize("replicas", list(BARS_US))
def test_a_decision_of_a_full_index(replicas: int) -> None:
    assert measure(500_000, replicas, shared=False, samples=1000).median < BARS_US[replicas][0] * slower() * MULTIPLE


def test_the_verdict_names_what_is_missed() -> None:
    assert verdict(Cost(50.0, 60.0, 900.0), 16, 2.0) == "met"
    assert verdict(Cost(51.0, 61.0, 900.0), 16, 2.0) == "MISSED: median and p95"
    assert verdict(Cost(30.0, 61.0, 900.0), 16, 2.0) == "MISSED: p95"
