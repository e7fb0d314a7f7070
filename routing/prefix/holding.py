"""What one slot of the prefix index holds, and in which order it forgets it: least recently used first.

Whenever a slot is sent a prompt, all blocks of it were used just now, the first block last. Each such use leaves one
run: the blocks that no later use has taken over. Uses begin at the root, so what a later one takes over is always the
beginning of a run, and what is left is its tail, as old as it was. Forgetting goes from the tail of the oldest run on,
which is exactly the order of least recent use, block by block; and as whatever follows a block was never used later
than the block, nothing is ever forgotten before what follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from routing.prefix.spans import KEY_BYTES, Spans, common, key_at

MOST_RUNS: Final = 32_768
"""Of one slot. Its two tables grow at once: this keeps that under a millisecond."""
SMALLER: Final = 4
"""Times: the cache that `late` asks about."""
FADES: Final = 1.0 - 1.0 / 128
"""What is left of `found` and `late` after each use."""
UNTRIED: Final = 1.0 / 256
"""As if it had found blocks for this part of its room before its first use, all late."""
LOOK_AHEAD: Final = 32
"""Oldest runs found at once. A dict that loses its oldest entries walks over the gap they leave to find the next."""


class Holding:
    """The runs of one slot, each known by a stamp that grows with every use, and by the key of its first block."""

    def __init__(self, slot: int, limit: int, spans: Spans) -> None:
        self.slot = slot
        self.bit = 1 << slot
        self.limit = limit
        """Blocks it may hold."""
        self.blocks = 0
        self.runs: dict[int, bytes] = {}
        """By stamp, ascending: packed keys."""
        self.stamps: dict[int, int] = {}
        """By the first key of a run."""
        self.ranked = False
        """Whether the index has it among those it may take the oldest run from."""
        self.late = self.found = limit * UNTRIED
        """Blocks that uses found here, the latest most. `late` are those that a cache `SMALLER` times smaller would
        have forgotten by then: all, until more is known."""
        self.has_holes = False
        """Whether something was forgotten before what followed it."""
        self._oldest: list[int] = []
        self._spans = spans
        """They are told where runs begin."""

    def use(self, chain: Sequence[int], packed: bytes, stamp: int) -> None:
        """The whole chain, which is not empty, is used at `stamp`, later than anything before."""
        kept_since = self._kept_since(stamp)
        at = late = 0
        while at < len(chain):
            of = self.stamps.pop(chain[at], -1)
            if of < 0:
                break
            run = self.runs[of]
            self._spans.run_ends(chain[at])
            taken = common(run, chain, at)
            self._leave(of, run[taken * KEY_BYTES :])
            self.blocks -= taken
            at += taken
            if of < kept_since:
                late += taken
        self.found = self.found * FADES + at
        self.late = self.late * FADES + late
        self.runs[stamp] = packed
        self.stamps[chain[0]] = stamp
        self._spans.run_begins(chain[0])
        self.blocks += len(chain)

    def _kept_since(self, stamp: int) -> int:
        """Since which stamp a cache `SMALLER` times smaller would have kept everything, at `stamp`.

        What is forgotten is as old as the oldest run, or, while there is room, as that will be once there is none.
        """
        if not self.runs:
            return stamp
        return stamp - (stamp - self.oldest()) * self.limit // (SMALLER * max(1, self.blocks))

    def _leave(self, stamp: int, tail: bytes) -> None:
        """Only the tail is left of a run whose first key is forgotten already."""
        if tail:
            self.runs[stamp] = tail
            head = key_at(tail, 0)[0]
            self.stamps[head] = stamp
            self._spans.run_begins(head)
        else:
            del self.runs[stamp]

    def shorten(self, stamp: int, keep: int) -> None:
        """Only the first `keep` blocks are left of a run."""
        run = self.runs[stamp]
        self.blocks -= len(run) // KEY_BYTES - keep
        if keep:
            self.runs[stamp] = run[: keep * KEY_BYTES]
        else:
            del self.runs[stamp]
            head = key_at(run, 0)[0]
            self._spans.run_ends(head)
            if self.stamps.get(head) == stamp:
                del self.stamps[head]

    def oldest(self) -> int:
        """The stamp of the oldest run. There is one."""
        while self._oldest:
            if self._oldest[-1] in self.runs:
                return self._oldest[-1]
            self._oldest.pop()
        self._oldest = list(islice(self.runs, LOOK_AHEAD))
        self._oldest.reverse()
        return self._oldest[-1]
