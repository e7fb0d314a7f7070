"""Confidence sequences: the published figures of others, reproduced."""

from __future__ import annotations

import pytest

from routing.gate.sequence import Difference, Sample, difference, relative_difference


def proportion(count: int, events: int) -> Sample:
    return Sample(count, float(events), float(events))


def test_growthbooks_sequential_test_of_means() -> None:
    """growthbook packages/stats/tests/frequentist/test_tests.py, TestSequentialTTest."""
    control, canary = Sample(3000, 1396.87, 52377.9767), Sample(3461, 2422.7, 134698.29)
    found = relative_difference(control, canary, tuned_for=1000)
    assert found is not None
    assert found.value == pytest.approx(0.50336, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((-0.55844, 1.56516), abs=1e-4)
    assert found.p == 1.0


def test_growthbooks_sequential_test_of_proportions() -> None:
    found = relative_difference(proportion(3000, 1396), proportion(3461, 2422), proportions=True)
    assert found is not None
    assert found.value == pytest.approx(0.50386, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((0.40098, 0.60675), abs=1e-4)
    assert found.p == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("control", "canary", "p"),
    [((5000, 500), (5000, 600), 0.033486), ((10_000, 1000), (10_000, 1100), 0.433720)],
)
def test_p_values_that_hold_at_every_look(control: tuple[int, int], canary: tuple[int, int], p: float) -> None:
    found = difference(proportion(*control), proportion(*canary), proportions=True)
    assert found is not None
    assert found.p == pytest.approx(p, abs=1e-4)


def test_bounds_of_a_difference() -> None:
    found = difference(proportion(5000, 500), proportion(5000, 600), proportions=True)
    assert found is not None
    assert found.value == pytest.approx(0.02)
    assert found.half == pytest.approx(0.019148, abs=1e-5)


def test_of_too_little_nothing_is_said() -> None:
    some, one, same = Sample(10, 5.0, 5.0), Sample(1, 1.0, 1.0), Sample(10, 10.0, 10.0)
    nothing: Difference | None = None
    assert difference(some, one) is nothing
    assert difference(same, same) is nothing
    assert relative_difference(Sample(10, 0.0, 0.0), some) is nothing
