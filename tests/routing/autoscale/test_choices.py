"""Who goes, who comes and when: removal, pools and the schedule."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.autoscale.pools import AlikePool, cheapest_first, left, seen_by
from routing.autoscale.removal import Removable, removed
from routing.autoscale.schedule import ScheduleShift, bounds_at
from routing.autoscale.signals import Bounds
from tests.routing.autoscale.looks import look

candidates = st.lists(
    st.builds(Removable, st.uuids().map(str), st.booleans(), st.integers(0, 5), st.floats(0.0, 100.0)),
    max_size=12,
    unique_by=lambda one: one.id,
)


@settings(max_examples=50, deadline=None)
@given(candidates, st.integers(-1, 15))
def test_what_starts_goes_before_what_runs_and_the_idle_before_the_busy(all_: list[Removable], count: int) -> None:
    gone = removed(all_, count)
    assert len(gone) == min(max(0, count), len(all_))
    stay = [one for one in all_ if one.id not in gone]
    left = [one for one in all_ if one.id in gone]
    assert all((a.ready, a.in_flight) <= (b.ready, b.in_flight) for a in left for b in stay)


def test_the_youngest_of_equals_goes_first() -> None:
    assert removed([Removable("a", True, 0, 10.0), Removable("b", True, 0, 90.0)], 1) == ["b"]


def test_the_cheapest_token_counts_and_not_the_cheapest_hour() -> None:
    slow, fast = AlikePool("a10", 2_000.0, 1.0), AlikePool("h100", 16_000.0, 4.0)
    assert cheapest_first([slow, fast]) == ["h100", "a10"]


def test_of_those_that_cost_about_the_same_the_one_that_runs_comes_first() -> None:
    one, other = AlikePool("a", 4_000.0, 2.0), AlikePool("b", 4_010.0, 2.0, has=1)
    assert cheapest_first([one, other]) == ["b", "a"]
    assert cheapest_first([AlikePool("a", 4_000.0, 2.0, has=1), AlikePool("b", 4_000.0, 2.0)]) == ["a", "b"]


def test_one_whose_speed_nobody_knows_comes_last() -> None:
    assert cheapest_first([AlikePool("unknown", 0.0, 1.0), AlikePool("dear", 100.0, 9.0)]) == ["dear", "unknown"]


@settings(max_examples=50, deadline=None)
@given(st.floats(0.0, 1.0, allow_subnormal=False), st.integers(0, 50), st.integers(0, 50))
def test_what_is_left_is_what_those_that_serve_cannot_take(part: float, asked: int, ready: int) -> None:
    rest = left(part, asked, ready)
    assert 0.0 <= rest <= part
    assert (rest == 0.0) == (asked <= ready or part == 0.0)


def test_a_pool_sees_its_part_of_what_comes_for_all_and_its_own_replicas() -> None:
    own, other = look(2, rate=1000.0, backlog=4000.0, in_flight=3.0), look(7, rate=3000.0, in_flight=1.0)
    half = seen_by(own, [own, other], 0.5)
    assert (half.ready, half.arrived_tokens, half.backlog_tokens, half.in_flight) == (2, 4000.0, 2000.0, 3.0)


NIGHT = ScheduleShift(frozenset({0, 1, 2, 3, 4}), 22 * 60, 6 * 60, Bounds(0, 2))
NOON = ScheduleShift(frozenset(range(7)), 11 * 60, 14 * 60, Bounds(4, 20))
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
    whole_day = ScheduleShift(frozenset(range(7)), 0, 24 * 60, Bounds(9, 9))
    assert bounds_at([NOON, whole_day], USUAL, 3, 12 * 60) == Bounds(4, 20)
    assert bounds_at([NOON, whole_day], USUAL, 3, 23 * 60 + 59) == Bounds(9, 9)
