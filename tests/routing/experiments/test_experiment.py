"""Laws of who gets which arm, whatever the shares are and however they change."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.experiments.assignment import bucket_of, unit_hash
from routing.experiments.experiment import LONGEST_GIVEN, MOST_GIVEN, Experiment

UNITS = [f"user-{number}" for number in range(400)]
FEW = settings(deadline=None, max_examples=50)


def experiment(shares: dict[str, float], arms: tuple[str, ...] = ("control", "canary"), **more: int) -> Experiment:
    most = dict.fromkeys(arms[1:], 1.0 / (len(arms) - 1))
    return Experiment("id", "s1", "chat", arms, most, shares, **more)


def arms_of(known: Experiment) -> list[str | None]:
    found = [known.assign(unit) for unit in UNITS]
    return [None if one is None else one.arm for one in found]


@FEW
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_ramp_moves_units_from_the_control_to_the_canary_alone_and_a_rollback_gives_exactly_those_back(
    shares: list[float],
) -> None:
    known = experiment({})
    seen = [arms_of(known)]
    for share in sorted(shares):
        known.set_shares({"canary": share})
        seen.append(arms_of(known))
    known.set_shares({"canary": 0.0})
    for before, after in itertools.pairwise(seen):
        assert {(old, new) for old, new in zip(before, after, strict=True) if old != new} <= {("control", "canary")}
    assert arms_of(known) == seen[0] == ["control"] * len(UNITS)


@FEW
@given(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5))
def test_of_several_arms_none_ever_takes_a_unit_of_another(b1: float, c1: float, b2: float, c2: float) -> None:
    known = experiment({"b": b1, "c": c1}, ("a", "b", "c"))
    before = arms_of(known)
    known.set_shares({"b": b2, "c": c2})
    moves = {(old, new) for old, new in zip(before, arms_of(known), strict=True) if old != new}
    assert moves <= {("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")}


def test_a_restarted_ramp_gets_the_same_units() -> None:
    first, again = experiment({"canary": 0.3}), experiment({})
    again.set_shares({"canary": 0.3})
    assert arms_of(first) == arms_of(again)


def test_an_assignment_says_what_the_gate_needs_and_shares_that_come_later_change_nothing_of_it() -> None:
    known = experiment({"canary": 1.0})
    given_ = known.assign("u")
    known.set_shares({"canary": 0.25})
    assert given_ is not None
    assert (given_.experiment, given_.arm, given_.at, given_.counted) == ("id", "canary", 1, True)
    assert given_.unit == unit_hash("s1", "chat", "u")
    assert given_.shares == (0.0, 1.0)
    assert known.shares == (0.75, 0.25)


def test_a_unit_that_asks_again_is_given_the_same_and_with_other_shares_what_they_say() -> None:
    known = experiment({"canary": 1.0})
    first = known.assign("u")
    assert known.assign("u") is first is not None
    assert first.digits == f"{first.unit:016x}"
    known.set_shares({"canary": 0.0})
    moved = known.assign("u")
    assert moved is not None
    assert (moved.arm, moved.unit, moved.shares) == ("control", first.unit, (1.0, 0.0))


def test_of_units_that_do_not_ask_again_or_are_long_nothing_is_kept() -> None:
    known = experiment({"canary": 0.5})
    short, long = "u", "u" * (LONGEST_GIVEN + 1)
    assert known.assign(short) is known.assign(short)
    for unit, again in ((long, True), ("once", False)):
        first, second = known.assign(unit, again=again), known.assign(unit, again=again)
        assert first is not None
        assert second is not None
        assert (first is second, first.arm, first.unit) == (False, second.arm, second.unit)


def test_outside_its_range_nobody_is_assigned() -> None:
    known = experiment({"canary": 1.0}, start=200_000, end=600_000)
    for unit in UNITS:
        inside = 200_000 <= bucket_of(unit_hash("s1", "chat", unit)) < 600_000
        assert [known.assign(unit) is not None for _ in range(2)] == [inside, inside]


def test_what_is_not_counted_has_an_arm_and_no_shares() -> None:
    known = experiment({"canary": 0.5})
    assert (known.uncounted.arm, known.uncounted.counted) == ("control", False)
    canary = known.plain("canary")
    assert canary is not None
    assert (canary.arm, canary.at, canary.counted) == ("canary", 1, False)
    assert known.plain("nobody") is None


def test_one_of_several_arms_can_be_promoted_to_everything() -> None:
    known = experiment({"b": 0.2, "c": 0.2}, ("a", "b", "c"))
    known.set_shares({"b": 0.0, "c": 1.0})
    assert set(arms_of(known)) == {"c"}
    assert known.shares == (0.0, 0.0, 1.0)
    assert (known.gives("a"), known.gives("b"), known.gives("c"), known.gives("d")) == (False, False, True, False)


def test_impossible_shares_are_refused_and_change_nothing() -> None:
    known = experiment({"canary": 0.5})
    for shares in ({"canary": 1.5}, {"canary": -0.1}, {"nobody": 0.1}):
        with pytest.raises(ValueError, match=r"at most|no arm"):
            known.set_shares(shares)
        assert known.shares == (0.5, 0.5)


def test_a_unit_has_the_same_hash_however_many_others_have_asked_meanwhile() -> None:
    known = experiment({"canary": 0.5})
    first = known.assign("user-0")
    for number in range(MOST_GIVEN + 1):
        known.assign(f"other-{number}")
    again = known.assign("user-0")
    assert first is not None
    assert again is not None
    assert (unit_hash("s1", "chat", "user-0"), first.arm) == (first.unit, first.arm) == (again.unit, again.arm)
