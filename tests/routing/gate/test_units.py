"""Units: each counts once, the share is the observed one, and a broken assignment is called so."""

from __future__ import annotations

import random

import pytest

from routing.gate.units import PRIOR_UNITS, ObservedShare, Units, sample_ratio_p


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


@pytest.mark.parametrize(
    ("counts", "share", "p"),
    [((821_588, 815_482), 0.5, 1.56e-4), ((8_800, 1_200), 0.1, 3.0e-5), ((0, 0), 0.1, 1.0), ((500, 500), 0.5, 1.0)],
)
def test_the_sequential_sample_ratio_test_gives_the_published_figures(
    counts: tuple[int, int], share: float, p: float
) -> None:
    assert pytest.approx(p, rel=0.01) == sample_ratio_p([(counts, share)])


def test_what_is_met_at_several_shares_adds_up() -> None:
    units = Units(sticky=False)
    for number in range(2_000):
        units.meet(number, number % 5 == 0, 0.1)
    alone = units.p
    for number in range(2_000):
        units.meet(number, number % 3 == 0, 0.25)
    assert units.p < alone < 0.01
    assert pytest.approx(units.p) == sample_ratio_p([((1_600, 400), 0.1), ((1_333, 667), 0.25)])


def test_a_sound_assignment_is_seldom_called_broken_however_often_one_looks() -> None:
    rng = random.Random(3)
    broken = 0
    for _ in range(60):
        canary = 0
        lowest = 1.0
        for number in range(1, 2_001):
            canary += rng.random() < 0.1
            if number % 20 == 0:
                lowest = min(lowest, sample_ratio_p([((number - canary, canary), 0.1)]))
        broken += lowest < 0.05
    assert broken <= 6
