"""One hour of one model, arm and route, as drift sees it: gathered request by request, and summed up at its end.

A user's weight in a window is capped, and how often he comes is known only at its end, so requests are kept until then:
at most `MOST_KEPT`, of a fair choice by a hash, however many there are. Rates count every request, in blocks, each user
once in `WINDOW_REQUESTS` of them. What is told of answers is counted in blocks of its own, as it comes when it comes;
and so is what was read of a sample of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from routing.drift.detector import Once
from routing.drift.histogram import Histogram, bucket_of
from routing.drift.signals import AMOUNTS, COUNTED

MOST_KEPT: Final = 10_000
CAP: Final = 3.0
"""Requests of one user in a window that weigh as much as another's."""
BLOCK_REQUESTS: Final = 100
MOST_BLOCKS: Final = 256
"""More are merged two by two."""
_WHOLE: Final = 1 << 64


class Window:
    """Gathers. One per hour and key."""

    __slots__ = ("_asked", "_below", "_kept", "_read", "_told", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self._asked: Final = Blocks()
        self._told: Final = Blocks()
        self._read: Final = Blocks()
        self._kept: list[tuple[int, int | None, list[int | None]]] = []
        self._below = _WHOLE

    def add(self, chance: int, user: int | None, amounts: Sequence[float | None], counts: Sequence[str]) -> None:
        """One request.

        `chance` is a hash of it, evenly spread over 64 bits; `user` stands for its user, None where nobody knows.
        `amounts` are in the order of `AMOUNTS`, None where there is none; `counts` are those of `COUNTED` that it is.
        """
        self.requests += 1
        self._asked.add(user, 1, counts)
        if chance < self._below:
            self._kept.append((chance, user, [None if one is None else bucket_of(one) for one in amounts]))
            while len(self._kept) > MOST_KEPT:
                self._below //= 2
                self._kept = [one for one in self._kept if one[0] < self._below]

    def histograms(self) -> dict[str, Histogram]:
        """Of each amount, by its name, with the weights of users capped."""
        often: dict[int, int] = {}
        for _, user, _ in self._kept:
            if user is not None:
                often[user] = often.get(user, 0) + 1
        found = {name: Histogram() for name in AMOUNTS}
        for _, user, buckets in self._kept:
            weight = 1.0 if user is None else min(1.0, CAP / often[user])
            for name, bucket in zip(AMOUNTS, buckets, strict=True):
                if bucket is not None:
                    found[name].add(bucket, weight)
        return found

    def tell(self, user: int | None, worse: bool) -> None:
        """An application gave a yes or no of an answer to this user."""
        self._told.add(user, 0, ("told", "thumbs_down") if worse else ("told",))

    def read(self, user: int | None, counts: Sequence[str]) -> None:
        """The text of an answer to this user was read; `counts` are those of `COUNTED` that it is."""
        self._read.add(user, 0, counts)

    def ended(self) -> list[list[int]]:
        """All blocks, the last, which may be short, among them. Each: how many requests were counted, then how many of
        each of `COUNTED`, in its order."""
        return [*self._asked.ended(), *self._told.ended(), *self._read.ended()]


class Blocks:
    """Counts, each user once in `WINDOW_REQUESTS`."""

    __slots__ = ("_block", "_in_block", "_most_in_block", "_once", "blocks")

    def __init__(self) -> None:
        self.blocks: list[list[int]] = []
        self._block = [0] * (len(COUNTED) + 1)
        self._most_in_block = BLOCK_REQUESTS
        self._in_block = 0
        self._once: Final = Once()

    def add(self, user: int | None, requests: int, counts: Sequence[str]) -> None:
        if user is None or self._once.counts(user):
            self._block[0] += requests
            for name in counts:
                self._block[1 + COUNTED.index(name)] += 1
        self._in_block += 1
        if self._in_block >= self._most_in_block:
            self._end_block()

    def ended(self) -> list[list[int]]:
        if self._in_block:
            self._end_block()
        return self.blocks

    def _end_block(self) -> None:
        self.blocks.append(self._block)
        self._block = [0] * (len(COUNTED) + 1)
        self._in_block = 0
        if len(self.blocks) > MOST_BLOCKS:
            self._most_in_block *= 2
            pairs = zip(self.blocks[::2], [*self.blocks[1::2], [0] * len(self._block)], strict=False)
            self.blocks = [[a + b for a, b in zip(one, other, strict=True)] for one, other in pairs]


def together(blocks: Sequence[Sequence[int]]) -> list[int]:
    """All of these blocks as one."""
    return [sum([block[at] for block in blocks]) for at in range(len(COUNTED) + 1)]


def whole(blocks: Sequence[Sequence[int]]) -> Mapping[str, int]:
    """How many were counted (as ``), and how many of each, in all of these blocks."""
    return dict(zip(("", *COUNTED), together(blocks), strict=True))
