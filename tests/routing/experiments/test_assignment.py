"""Assignment: what is published is what is computed, shares are what was asked for, and a ramp moves nobody back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.experiments.assignment import BUCKETS, Slot, Split, bucket_of, slots_of, unit_hash

PUBLISHED = re.findall(
    r"^\| `(.*?)` \| `(.*?)` \| `(.*?)` \| `([0-9a-f]{16})` \| (\d+) \|$",
    (Path(__file__).parents[3] / "docs" / "assignment.md").read_text(),
    re.MULTILINE,
)


def test_there_are_vectors() -> None:
    assert len(PUBLISHED) == 8


@pytest.mark.parametrize(("salt", "layer", "unit", "digits", "bucket"), PUBLISHED)
def test_the_published_vectors(salt: str, layer: str, unit: str, digits: str, bucket: str) -> None:
    hashed = unit_hash(salt, layer, unit)
    assert (f"{hashed:016x}", bucket_of(hashed)) == (digits, int(bucket))


def test_salt_layer_and_unit_are_told_apart() -> None:
    assert len({unit_hash("ab", "c", "d"), unit_hash("a", "bc", "d"), unit_hash("a", "b", "cd")}) == 3


@st.composite
def splits(draw: st.DrawFn) -> tuple[Split, dict[str, float]]:
    """A range with slots for some arms, none of which has any bucket yet, and what each may ever have."""
    start = draw(st.integers(0, BUCKETS - 10))
    end = draw(st.integers(start + 10, BUCKETS))
    parts = draw(st.lists(st.floats(0.0, 0.3), min_size=1, max_size=3))
    most = {f"arm{at}": part for at, part in enumerate(parts)}
    return Split(start, end, "control", slots_of(start, end, most), {}), most


def with_shares(split: Split, shares: Mapping[str, float]) -> Split:
    """The same experiment with other weights."""
    return Split(split.start, split.end, split.control, split.slots, shares)


@settings(deadline=None)
@given(splits(), st.data())
def test_a_ramp_moves_units_from_the_control_to_its_arm_and_a_rollback_gives_them_back(
    made: tuple[Split, dict[str, float]], data: st.DataObject
) -> None:
    split, most = made
    buckets = [*data.draw(st.lists(st.integers(0, BUCKETS - 1), max_size=30)), split.start, split.end - 1]
    buckets += [slot.start for slot in split.slots if slot.start < split.end]
    shares = dict.fromkeys(most, 0.0)
    for _ in range(4):
        arm = data.draw(st.sampled_from(sorted(most)))
        raised = shares | {arm: data.draw(st.floats(shares[arm], most[arm]))}
        before, after = with_shares(split, shares), with_shares(split, raised)
        moved = {(before.arm(one), after.arm(one)) for one in buckets if before.arm(one) != after.arm(one)}
        assert moved <= {("control", arm)}
        back = with_shares(after, shares)
        assert [back.arm(one) for one in buckets] == [before.arm(one) for one in buckets]
        shares = raised


@settings(deadline=None)
@given(splits(), st.data())
def test_every_bucket_of_the_range_is_one_arms_and_no_other_is(
    made: tuple[Split, dict[str, float]], data: st.DataObject
) -> None:
    split, most = made
    split = with_shares(split, {arm: data.draw(st.floats(0.0, part)) for arm, part in most.items()})
    for bucket in data.draw(st.lists(st.integers(0, BUCKETS - 1), max_size=30)):
        assert (split.arm(bucket) in {"control", *most}) == (split.start <= bucket < split.end)
    assert sum(split.share(arm) for arm in ("control", *most)) == pytest.approx(1.0)


def test_units_fall_into_arms_by_their_shares() -> None:
    split = Split(0, BUCKETS, "control", slots_of(0, BUCKETS, {"canary": 1.0}), {"canary": 0.05})
    got = sum(split.arm(bucket_of(unit_hash("s1", "chat", f"user-{n}"))) == "canary" for n in range(40_000))
    assert abs(got - 2000) < 4 * (40_000 * 0.05 * 0.95) ** 0.5


def test_layers_and_salts_split_independently() -> None:
    split = Split(0, BUCKETS, "control", slots_of(0, BUCKETS, {"canary": 0.5}), {"canary": 0.5})
    both = 0
    for n in range(10_000):
        arms = [split.arm(bucket_of(unit_hash("s1", layer, f"user-{n}"))) for layer in ("one", "two")]
        both += arms == ["canary", "canary"]
    assert abs(both - 2500) < 4 * (10_000 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Split(5, 5, "c", [], {}), "within 0 and 1000000"),
        (lambda: Split(0, BUCKETS + 1, "c", [], {}), "within 0 and 1000000"),
        (lambda: Split(0, 100, "c", [Slot("a", 0, 60), Slot("b", 50, 10)], {}), "the slot of 'b' overlaps"),
        (lambda: Split(0, 100, "c", [Slot("a", 60, 60)], {}), "leaves the range"),
        (lambda: Split(0, 100, "a", [Slot("a", 0, 60)], {}), "a name of its own"),
        (lambda: Split(0, 100, "c", [Slot("a", 0, 60)], {"b": 0.1}), "no arm 'b'"),
        (lambda: Split(0, 100, "c", [Slot("a", 0, 60)], {"a": 0.7}), "'a' may have at most 0.6"),
        (lambda: Split(0, 100, "c", [Slot("a", 0, 60)], {"a": -0.1}), "'a' may have at most"),
        (lambda: slots_of(0, 100, {"a": 0.6, "b": 0.5}), "more than the whole range"),
    ],
)
def test_what_makes_no_split_is_refused(make: object, says: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=re.escape(says)):
        make()
