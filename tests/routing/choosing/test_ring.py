from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from routing.choosing.ring import _LEAST_BYTES, HashRing

names = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8),
    min_size=2,
    max_size=40,
    unique=True,
)
_RNG = random.Random(5)
KEYS = [_RNG.getrandbits(64) for _ in range(2000)]


@settings(deadline=None, max_examples=40)
@given(names=names, leaving=st.integers(0, 39))
def test_only_the_keys_of_who_leaves_move(names: list[str], leaving: int) -> None:
    gone = names[leaving % len(names)]
    left = [name for name in names if name != gone]
    before, after = HashRing(names), HashRing(left)
    if len(before._keys) // len(names) != len(after._keys) // len(left):
        return  # the fewer are given more points each
    for key in KEYS:
        owner = names[before.place(key)]
        if owner != gone:
            assert left[after.place(key)] == owner


@settings(deadline=None, max_examples=40)
@given(names=names, seed=st.integers(0, 99))
def test_whoever_asks_and_in_whatever_order_finds_the_same_place(names: list[str], seed: int) -> None:
    other = list(names)
    random.Random(seed).shuffle(other)
    a, b = HashRing(names), HashRing(other)
    assert [names[a.place(key)] for key in KEYS[:50]] == [other[b.place(key)] for key in KEYS[:50]]


@settings(deadline=None, max_examples=40)
@given(names=names, leaving=st.integers(0, 39))
def test_who_is_next_is_who_would_own_the_key_if_those_before_were_gone(names: list[str], leaving: int) -> None:
    ring = HashRing(names)
    for key in KEYS[:50]:
        order = list(ring.places(key))
        assert order[0] == ring.place(key)
        assert sorted(order) == list(range(len(names)))
        left = [name for name in names if name != names[order[0]]]
        after = HashRing(left)
        if len(ring._keys) // len(names) == len(after._keys) // len(left):
            assert left[after.place(key)] == names[order[1]]


@pytest.mark.parametrize("form", ["t0/{}/up", "e/{}/m", "{}", "engine/{}/model"])
def test_no_two_share_a_point_however_short_and_alike_their_names_are(form: str) -> None:
    names = [form.format(at) for at in range(10)]
    ring, back = HashRing(names), HashRing(names[::-1])
    assert len(set(ring._keys)) == len(ring._keys)
    assert [names[ring.place(key)] for key in KEYS] == [names[::-1][back.place(key)] for key in KEYS]
    shares = Counter(map(ring.place, KEYS))
    assert max(shares.values()) < 2.0 * len(KEYS) / len(names)


@pytest.mark.parametrize("size", [2, 4, 16, 64])
def test_shares_are_fair(size: int) -> None:
    shares = Counter(map(HashRing([f"replica-{i}" for i in range(size)]).place, KEYS))
    assert len(shares) == size
    assert max(shares.values()) < 2.0 * len(KEYS) / size


@pytest.mark.parametrize("size", [3, 256, 700])
def test_who_owns_a_key_is_whose_point_comes_next(size: int) -> None:
    """To the last bit: gateways of two versions, beside each other, say the same."""
    names = [f"replica-{i}" for i in range(size)]
    each = min(64, max(8, 2048 // size))
    points = sorted(
        (xxh3_64_intdigest(name.encode().ljust(_LEAST_BYTES, b"\0"), n), at)
        for at, name in enumerate(names)
        for n in range(each)
    )
    ring = HashRing(names)
    for key in [0, 2**64 - 1, *KEYS[:200]]:
        at = bisect_left([point for point, _ in points], key)
        assert ring.place(key) == points[at if at < len(points) else 0][1]


def test_a_ring_without_places_has_none() -> None:
    with pytest.raises(IndexError):
        HashRing([]).place(1)
