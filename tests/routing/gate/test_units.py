"""Units: each counts once, the share is the observed one, and a broken assignment is called so."""

from __future__ import annotations

import random

import pytest

from routing.gate.units import PRIOR_UNITS, ObservedShare, Units


def test_the_observed_share_takes_over_from_the_configured_one() -> None:
    share = ObservedShare(0.05, sticky=False)
    assert share.beside(True) == 0.05
    for number in range(1000):
        share.meet(number, number % 10 == 0)
    assert share.beside(False) == pytest.approx((0.05 * PRIOR_UNITS + 100) / (PRIOR_UNITS + 999))
    assert share.beside(True) == pytest.approx((0.05 * PRIOR_UNITS + 99) / (PRIOR_UNITS + 999))


def test_a_user_that_comes_again_counts_once_at_each_share() -> None:
    units = Units(sticky=True)
    for _ in range(3):
        units.meet(1, True, 0.05)
        units.meet(2, False, 0.05)
    units.meet(2, True, 0.5)
    assert (units.units, units.canary) == (3, 2)
    assert units.expected == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("configured", "true", "within"), [(0.05, 0.05, None), (0.05, 0.06, 20_000), (0.5, 0.53, 12_000), (0.05, 0.0, 400)]
)
def test_a_broken_assignment_is_found_and_a_sound_one_is_not(
    configured: float, true: float, within: int | None
) -> None:
    rng, units = random.Random(4), Units(sticky=False)
    found = None
    for number in range(within or 20_000):
        units.meet(number, rng.random() < true, configured)
        if units.mismatch:
            found = number
            break
    assert (found is not None) == (within is not None)


def test_units_go_on_from_their_state() -> None:
    for sticky in (True, False):
        units, again = Units(sticky=sticky), Units(sticky=sticky)
        for number in range(100):
            units.meet(number, number % 9 == 0, 0.1)
        again.restore(units.state())
        for one in (units, again):
            one.meet(7, True, 0.1)
            one.meet(100, True, 0.1)
        assert again.state() == units.state()
