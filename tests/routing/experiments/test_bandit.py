"""A bandit gives most to what may be the best, starves nobody, and declares no other arm the best than the best."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.virtual.releases.bandit import run
from routing.experiments.bandit import GRAIN, ArmSeen, Goal, shares, top_two, weights, winner


def events(units: int, count: int) -> ArmSeen:
    return ArmSeen(units, float(count), float(count))


@pytest.mark.parametrize(
    ("floor", "expected"), [(0.0, (0.04423, 0.46193, 0.49384)), (0.01, (0.05290, 0.45808, 0.48902))]
)
def test_published_weights_of_three_normal_posteriors_of_which_the_largest_is_best(
    floor: float, expected: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(1)
    drawn = np.array([rng.normal(-mean, 0.01, 400_000) for mean in (0.10, 0.12, 0.13)])
    assert pytest.approx(expected, abs=0.002) == top_two(drawn, floor)


def test_less_is_better_of_events_and_of_amounts() -> None:
    rng = np.random.default_rng(1)
    rates = [events(2_000, count) for count in (20, 60, 200)]
    amounts = [ArmSeen(500, 500 * mean, 500 * (mean * mean + 1.0)) for mean in (5.0, 6.0, 9.0)]
    for seen, rate in ((rates, True), (amounts, False)):
        given_ = weights(seen, Goal(rate), rng)
        assert given_ is not None
        assert given_[0] > 0.4 > given_[2]
        assert pytest.approx(0.05) == given_[2]
        assert 0 == winner(seen, Goal(rate))
        assert 2 == winner(seen[::-1], Goal(rate))


def test_an_arm_of_which_nothing_bad_was_seen_is_neither_starved_nor_crowned() -> None:
    seen = [events(100, 0), events(100, 1)]
    assert [0.5, 0.5] == weights(seen, Goal(rate=True), np.random.default_rng(1))
    assert winner(seen, Goal(rate=True)) is None
    assert winner([ArmSeen(100, 500.0, 2500.0), ArmSeen(100, 500.0, 2500.0)], Goal(rate=False)) is None


def test_until_each_arm_has_units_nothing_is_said() -> None:
    seen = [events(99, 0), events(5_000, 2_500), events(5_000, 10)]
    assert weights(seen, Goal(rate=True), np.random.default_rng(1)) is None
    assert winner(seen, Goal(rate=True)) is None


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 1)), min_size=2, max_size=6),
    st.floats(0.01, 0.15),
    st.integers(0, 99),
)
def test_weights_are_a_whole_and_none_is_below_the_floor(
    arms: list[tuple[int, float]], floor: float, seed: int
) -> None:
    seen = [events(units, int(units * rate)) for units, rate in arms]
    found = weights(seen, Goal(rate=True, floor=floor, min_units=0), np.random.default_rng(seed), draws=100)
    assert found is not None
    assert math.isclose(1.0, sum(found), abs_tol=1e-9)
    assert min(found) >= floor - 1e-9


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 1), st.booleans()), min_size=1, max_size=6))
def test_no_arm_on_hold_is_raised_and_none_has_more_than_its_place(
    arms: list[tuple[float, float, float, bool]],
) -> None:
    wanted, now, most, held = (list(each) for each in zip(*arms, strict=True))
    for share, want, have, bound, hold in zip(shares(wanted, now, most, held), wanted, now, most, held, strict=True):
        assert share <= max(bound + 1e-9, have if hold else 0.0)
        if hold:
            assert share <= have
        else:
            assert abs(share - min(want, bound)) <= GRAIN + 1e-9


def test_the_best_of_three_is_found_and_is_given_the_most() -> None:
    outcomes = [run((0.1, 0.05, 0.01), np.random.default_rng(seed)) for seed in range(5)]
    assert [2] * 5 == [one.winner for one in outcomes]
    assert all(one.best_share > 1 / 3 for one in outcomes)
