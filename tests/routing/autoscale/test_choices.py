"""Who goes, who comes and when: removal, pools and the schedule."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.autoscale.pools import Pool, shared_out
from routing.autoscale.removal import Candidate, removed
from routing.autoscale.schedule import Shift, bounds_at
from routing.autoscale.signals import Bounds

candidates = st.lists(
    st.builds(Candidate, st.uuids().map(str), st.booleans(), st.integers(0, 5), st.floats(0.0, 100.0)),
    max_size=12,
    unique_by=lambda one: one.id,
)


@settings(max_examples=50, deadline=None)
@given(candidates, st.integers(-1, 15))
def test_what_starts_goes_before_what_runs_and_the_idle_before_the_busy(all_: list[Candidate], count: int) -> None:
    gone = removed(all_, count)
    assert len(gone) == min(max(0, count), len(all_))
    stay = [one for one in all_ if one.id not in gone]
    left = [one for one in all_ if one.id in gone]
    assert all((a.ready, a.in_flight) <= (b.ready, b.in_flight) for a in left for b in stay)


def test_the_youngest_of_equals_goes_first() -> None:
    assert removed([Candidate("a", True, 0, 10.0), Candidate("b", True, 0, 90.0)], 1) == ["b"]


pools = st.lists(
    st.builds(
        lambda name, speed, usd, least, more: Pool(name, speed, usd, least, least + more),
        st.uuids().map(str),
        st.floats(100.0, 20_000.0),
        st.floats(0.1, 10.0),
        st.integers(0, 3),
        st.integers(0, 8),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda pool: pool.name,
)


@settings(max_examples=50, deadline=None)
@given(pools, st.floats(0.0, 200_000.0))
def test_pools_do_what_they_can_within_their_bounds(all_: list[Pool], wanted: float) -> None:
    counts = shared_out(wanted, all_)
    assert all(pool.least <= counts[pool.name] <= pool.most for pool in all_)
    done = sum(counts[pool.name] * pool.speed for pool in all_)
    assert done >= min(wanted, sum(pool.most * pool.speed for pool in all_)) - 1e-3


@settings(max_examples=50, deadline=None)
@given(pools, st.floats(0.0, 200_000.0))
def test_a_dearer_pool_gets_more_than_its_least_only_once_the_cheaper_are_full(all_: list[Pool], wanted: float) -> None:
    counts = shared_out(wanted, all_)
    for dear in all_:
        if counts[dear.name] > dear.least:
            for cheap in all_:
                if cheap.usd_per_hour / cheap.speed < dear.usd_per_hour / dear.speed:
                    assert counts[cheap.name] == cheap.most


def test_the_cheapest_token_counts_not_the_cheapest_hour() -> None:
    slow, fast = Pool("a10", 2_000.0, 1.0, 0, 4), Pool("h100", 16_000.0, 4.0, 0, 4)
    assert shared_out(30_000.0, [slow, fast]) == {"a10": 0, "h100": 2}
    assert shared_out(70_000.0, [slow, fast]) == {"a10": 3, "h100": 4}


NIGHT = Shift(frozenset({0, 1, 2, 3, 4}), 22 * 60, 6 * 60, Bounds(0, 2))
NOON = Shift(frozenset(range(7)), 11 * 60, 14 * 60, Bounds(4, 20))
USUAL = Bounds(1, 8)


def test_a_shift_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    asked = [(0, 23 * 60), (1, 5 * 60), (0, 5 * 60), (5, 5 * 60), (5, 23 * 60), (6, 12 * 60), (2, 14 * 60)]
    assert [bounds_at([NIGHT, NOON], USUAL, *at) for at in asked] == [
        Bounds(0, 2),
        Bounds(0, 2),
        USUAL,  # of Sunday's night, which has no shift
        Bounds(0, 2),  # of Friday's
        USUAL,
        Bounds(4, 20),
        USUAL,
    ]


def test_the_first_shift_that_covers_a_minute_counts() -> None:
    whole_day = Shift(frozenset(range(7)), 0, 24 * 60, Bounds(9, 9))
    assert bounds_at([NOON, whole_day], USUAL, 3, 12 * 60) == Bounds(4, 20)
    assert bounds_at([NOON, whole_day], USUAL, 3, 23 * 60 + 59) == Bounds(9, 9)
