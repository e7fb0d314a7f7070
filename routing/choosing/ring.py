"""Consistent hashing: the same key finds the same place, whoever asks, without anything told between them.

Each place owns the arcs that end at its points on a ring of 64-bit keys. When one of n places comes or goes, the keys
that move are its own, about 1/n, and nobody else's (Karger et al., "Consistent Hashing and Random Trees", 1997).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from xxhash import xxh3_64_intdigest

MOST_POINTS: Final = 64
"""Of each place: shares then differ by a tenth or so."""
_ALL_POINTS: Final = 2048
"""Of a ring, about: to make one takes a millisecond, and the streams' loop makes it."""
_FEWEST_POINTS: Final = 8
_LEAST_BYTES: Final = 9
"""Of a name: of 4 to 8 bytes, XXH3 adds the seed to the very bits in which `e/1/m` and `e/2/m` differ, so that points
of the one fall on points of the other."""


class HashRing:
    """Of places by name. Immutable."""

    __slots__ = ("_keys", "_places")

    def __init__(self, names: Sequence[str]) -> None:
        """Names must differ, or of two equal ones only one is ever found."""
        each = min(MOST_POINTS, max(_FEWEST_POINTS, _ALL_POINTS // max(1, len(names))))
        numbers = range(each)
        padded = [name.encode().ljust(_LEAST_BYTES, b"\0") for name in names]
        # As floats, which are sorted in half the time; two that become one by it are as rare as two that are equal.
        points = [float(xxh3_64_intdigest(name, number)) for name in padded for number in numbers]
        order = sorted(range(len(points)), key=points.__getitem__)
        self._keys = [points[at] for at in order]
        self._places = [at // each for at in order]

    def place(self, key: int) -> int:
        """The position, among the names, of who owns the key. Raises IndexError when there are no places."""
        at = bisect_left(self._keys, float(key))
        return self._places[at if at < len(self._places) else 0]

    def places(self, key: int) -> Iterator[int]:
        """Every position once: first who owns the key, then who would if those before were gone."""
        places = self._places
        seen: set[int] = set()
        first = bisect_left(self._keys, float(key))
        for at in range(first, first + len(places)):
            place = places[at - len(places)]  # what is asked for is one of the first few, mostly
            if place not in seen:
                seen.add(place)
                yield place
