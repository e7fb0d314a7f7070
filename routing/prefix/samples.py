"""Which prompts are worth having their tokens counted: those of which something is cached already, one in a hundred.

Only where somebody follows what an engine caches (`want`). A prompt that shares nothing with any other may never come
again, and one whose shared part was taken before tells little more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from routing.facts import RequestFacts

RATIO: Final = 0.01
"""Of the requests of a replica."""
MOST_SAVED: Final = 5.0
MOST_KEYS: Final = 65_536
"""Of prompts that were taken; then they are forgotten, and may be taken again."""
MOST_WAITING: Final = 16

Sample = tuple[tuple[str, str], str, str, bytes, Sequence[int]]
"""Replica, public model, operation, body, and the chain of its prompt."""


class PrefixSamples:
    """One worker's."""

    __slots__ = ("_began", "_saved", "_taken", "_waiting")

    def __init__(self, began: Callable[[], None]) -> None:
        """`began` is called when one was taken and none was before."""
        self._began = began
        self._saved: dict[tuple[str, str], float] = {}
        """By replica: how many prompts may be taken."""
        self._taken: set[int] = set()
        """Keys of prompts that were taken."""
        self._waiting: list[Sample] = []

    def want(self, replica: tuple[str, str], wanted: bool) -> None:
        """Whether prompts of this replica are of use to anybody."""
        if not wanted:
            self._saved.pop(replica, None)
        else:
            self._saved.setdefault(replica, 0.0)

    def wants(self, replica: tuple[str, str], facts: RequestFacts) -> bool:
        """Whether the prompt, which is being sent there, is to be taken. Each request is asked about once."""
        saved = self._saved.get(replica)
        if saved is None:
            return False
        saved = self._saved[replica] = min(MOST_SAVED, saved + RATIO)
        match = facts.match
        if saved < 1.0 or match is None or not match.points or len(self._waiting) >= MOST_WAITING:
            return False
        return facts.prefix[match.points[-1][0] - 1] not in self._taken

    def take(self, replica: tuple[str, str], model: str, operation: str, body: bytes, chain: Sequence[int]) -> None:
        """It is taken."""
        self._saved[replica] -= 1.0
        if len(self._taken) > MOST_KEYS:
            self._taken.clear()
        self._taken.update(chain)
        self._waiting.append((replica, model, operation, body, chain))
        if len(self._waiting) == 1:
            self._began()

    def waiting(self) -> list[Sample]:
        """Those that were taken, once."""
        waiting, self._waiting = self._waiting, []
        return waiting
