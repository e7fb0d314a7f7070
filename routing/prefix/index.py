"""Which replica of this worker holds how much of a prompt: what it was sent, as far as its cache can still have it.

A replica is a slot, a small number that is a bit of a mask. `match` says of a chain (`routing.prefix.chain`) how deep
each slot holds it and changes nothing; `add` says, after the choice, which slot the prompt went to. The index is made
of two views of the same (block, slot) pairs, both in stretches of a chain rather than in blocks:

    spans     (`routing.prefix.spans`)    by slots that hold the same: what `match` walks
    holdings  (`routing.prefix.holding`)  by slot and last use: what is forgotten first

so that a step costs what a prompt has stretches, not what it has blocks. It is bounded three times: each slot by its
`limit`, all pairs by `capacity_pairs`, and all stretches by a seventh of that, since a short one costs as much as a
long one. Who is over a bound forgets: the slot what it used least recently, the index what any slot did.

At 10 million pairs of prompts of 64 blocks that share nothing: 13 bytes a pair, 126 MiB, 8 of them the keys, which both
views share until one of them is cut. A stretch by itself costs about 200 bytes, so that prompts of 11 blocks come to 46
bytes a pair, and the worst to 440 MiB for that capacity. Nothing is reserved: an index that holds nothing takes 44 KiB.
An add forgets a run in about 3 us, and no more than `FORGOTTEN_BY_AN_ADD`: what a prompt of 512 KiB cannot get of the
room of 2,048 prompts of one block is left out at its own end, until it is sent again.
Figures: `python -m tests.timing.prefix_index`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

from routing.prefix.holding import MOST_RUNS, SMALLER, Holding
from routing.prefix.match import Match
from routing.prefix.spans import KEY_BYTES, Spans, common

UNLIMITED: Final = 1 << 62
STRETCH_PAIRS: Final = 7
"""Pairs of the capacity for each stretch: runs, each with a span, of 14 blocks or more use all of it."""
FEWEST_STRETCHES: Final = 1024
FORGOTTEN_BY_AN_ADD: Final = 256
"""Runs, for each of its bounds: about 0.8 ms. More than that only comes of a very long prompt among very short ones."""
SWEPT_BY_AN_ADD: Final = 4
"""Runs of slots that left, forgotten by the way: about 2 us each."""
RANK_SLOT_BITS: Final = 20


def chain_of(packed: bytes) -> list[int]:
    """The keys that were packed; some bytes more than whole keys make are left out."""
    return array("Q", packed[: len(packed) // KEY_BYTES * KEY_BYTES]).tolist()


class PrefixIndex:
    """What the slots hold. Owned by one thread; pure, and as deterministic as the calls it gets."""

    def __init__(self, capacity_pairs: int = 1_000_000) -> None:
        """1 million pairs are 16 replicas of 4 million tokens each, and at most 44 MiB."""
        self.capacity_pairs = capacity_pairs
        self.most_stretches = max(FEWEST_STRETCHES, capacity_pairs // STRETCH_PAIRS)
        self.pairs = 0
        """(block, slot) pairs held, those of slots that left and are not swept yet included."""
        self.runs = 0
        """Of all slots."""
        self._spans = Spans()
        self._holdings: dict[int, Holding] = {}
        self._open = 0
        """The mask of the slots that may be found."""
        self._free: list[int] = []
        self._leaving: list[Holding] = []
        self._stamp = 0
        self._ranks: list[int] = []
        """A heap of (stamp, slot): no slot that holds anything has a run older than its stamp here."""

    @property
    def stretches(self) -> int:
        """Spans and runs, which are what takes memory beside the keys."""
        return self._spans.count + self.runs

    def open(self, limit_blocks: int | None = None) -> int:
        """A slot for a replica whose cache has room for so many blocks (None: nobody knows). The lowest one free."""
        slot = heappop(self._free) if self._free else len(self._holdings) + len(self._leaving)
        self._holdings[slot] = Holding(slot, UNLIMITED if limit_blocks is None else limit_blocks, self._spans)
        self._open |= 1 << slot
        return slot

    def drop(self, slot: int) -> None:
        """The replica left, or what it held is void: nothing of the slot is found any more, and the slot is given up.

        What it held is forgotten in steps, by `sweep` and by every `add`; only then does `open` give the slot again.
        """
        holding = self._holdings.pop(slot)
        self._open &= ~holding.bit
        self._ranks = [rank for rank in self._ranks if rank & ((1 << RANK_SLOT_BITS) - 1) != slot]
        heapify(self._ranks)
        self._leaving.append(holding)
        self.sweep(0)

    def sweep(self, runs: int = 64) -> bool:
        """Forget at most so many runs of slots that left (64: half a millisecond). Returns whether any remain."""
        while self._leaving:
            holding = self._leaving[-1]
            while holding.runs:
                if runs <= 0:
                    return True
                runs -= 1
                self._shorten(holding, holding.oldest(), 0)
            self._leaving.pop()
            heappush(self._free, holding.slot)
            if not self.runs:  # spans that nobody holds: only colliding keys leave them
                self._spans.clear()
        return False

    def limit(self, slot: int, blocks: int) -> None:
        """The replica's cache has room for so many blocks."""
        holding = self._holdings[slot]
        holding.limit = blocks
        self._keep_limit(holding, len(holding.runs))

    def shed(self, slot: int, keep: int, runs: int = 128) -> bool:
        """Forget what the slot used least recently until it holds `keep` blocks, but at most so many runs (128: about
        half a millisecond). Returns whether there is more to forget."""
        holding = self._holdings[slot]
        while holding.blocks > keep:
            if runs <= 0:
                return True
            runs -= 1
            self._forget(holding, holding.blocks - keep)
        return False

    def held(self, slot: int) -> int:
        """Blocks that the slot holds."""
        return self._holdings[slot].blocks

    def fullness(self, slot: int) -> float:
        """What part of its limit the slot holds."""
        holding = self._holdings[slot]
        return holding.blocks / max(1, holding.limit)

    def crowding(self, slots: Iterable[int]) -> float:
        """What part of the blocks that were lately found with the slots a quarter of their room would have lost.

        Of a slot that would hold in that all it does, none; of another, all until it has found anything. It follows
        what is asked for within some 128 prompts of a slot.
        """
        found = late = 0.0
        for slot in slots:
            holding = self._holdings[slot]
            found += holding.found
            if SMALLER * holding.blocks > holding.limit:
                late += holding.late
        return late / found if found > 0.0 else 1.0

    def match(self, chain: Sequence[int]) -> Match:
        """How much of the chain each slot holds."""
        return Match(self._spans.match(chain, self._open))

    def add(self, chain: Sequence[int], slot: int) -> bytes:
        """The slot was sent the prompt: it has used what it held of it, and holds the rest now, too.

        Returns the keys, packed (`chain_of` makes them a chain again).
        """
        if not chain:
            return b""
        holding = self._holdings[slot]
        if holding.has_holes:
            self._forget_beyond_holes(holding, chain)
        packed = array("Q", chain).tobytes()
        self._stamp += 1
        self.pairs -= holding.blocks
        self.runs -= len(holding.runs)
        holding.use(chain, packed, self._stamp)
        self.pairs += holding.blocks
        self.runs += len(holding.runs)
        self._spans.hold(chain, packed, holding.bit)
        if not holding.ranked:
            holding.ranked = True
            heappush(self._ranks, self._stamp << RANK_SLOT_BITS | slot)
        if self._leaving:
            self.sweep(SWEPT_BY_AN_ADD)
        self._keep_limit(holding, FORGOTTEN_BY_AN_ADD)
        self._leave_out(holding, holding.blocks - holding.limit)
        for _ in range(FORGOTTEN_BY_AN_ADD):
            if self.pairs <= self.capacity_pairs and self.stretches <= self.most_stretches:
                break
            if not self.runs:  # spans that nobody holds: only colliding keys leave them
                self._spans.clear()
                break
            self._forget_oldest()
        self._leave_out(holding, self.pairs - self.capacity_pairs)
        return packed

    def _leave_out(self, holding: Holding, blocks: int) -> None:
        """So many blocks at the end of what the slot was sent last."""
        last = holding.runs.get(self._stamp) if blocks > 0 else None
        if last is not None:
            self._shorten(holding, self._stamp, max(0, len(last) // KEY_BYTES - blocks))

    def cut(self, chain: Sequence[int], slot: int, depth: int) -> None:
        """The replica says that it holds at most the first `depth` blocks of the chain.

        Other prompts that branched off beyond are no longer found either, and are forgotten when their turn comes.
        """
        holding = self._holdings[slot]
        at = 0
        while at < len(chain):
            stamp = holding.stamps.get(chain[at], -1)
            if stamp < 0:
                break
            shared = common(holding.runs[stamp], chain, at)
            if at + shared > depth:
                holding.has_holes = True
                self._shorten(holding, stamp, max(0, depth - at))
            at += shared

    def _forget_beyond_holes(self, holding: Holding, chain: Sequence[int]) -> None:
        """What the slot has of the chain beyond a hole goes, as if never held."""
        at = 0
        while at < len(chain):
            stamp = holding.stamps.get(chain[at], -1)
            if stamp < 0:
                break
            at += common(holding.runs[stamp], chain, at)
        for key in chain[at:]:
            stamp = holding.stamps.get(key, -1)
            if stamp >= 0:
                self._shorten(holding, stamp, 0)
        holding.has_holes = bool(holding.runs)

    def _keep_limit(self, holding: Holding, runs: int) -> None:
        """Forget what is over the slot's bounds, but at most so many runs."""
        for _ in range(runs):
            if holding.blocks > holding.limit:
                self._forget(holding, holding.blocks - holding.limit)
            elif len(holding.runs) > MOST_RUNS:
                self._forget(holding, holding.blocks)
            else:
                break

    def _forget_oldest(self) -> None:
        """One step towards all bounds: a run of a slot that left, or the oldest one, or as much of it as it takes."""
        if self._leaving:
            self.sweep(1)
            return
        while True:
            rank = self._ranks[0]
            holding = self._holdings[rank & ((1 << RANK_SLOT_BITS) - 1)]
            if not holding.runs:
                holding.ranked = False
                heappop(self._ranks)
                continue
            oldest = holding.oldest() << RANK_SLOT_BITS | holding.slot
            if oldest == rank:
                break
            heapreplace(self._ranks, oldest)
        over = self.pairs - self.capacity_pairs
        self._forget(holding, over if self.stretches <= self.most_stretches else holding.blocks)

    def _forget(self, holding: Holding, blocks: int) -> None:
        """So many of the blocks that the slot used least recently, but of one run at most."""
        stamp = holding.oldest()
        self._shorten(holding, stamp, max(0, len(holding.runs[stamp]) // KEY_BYTES - blocks))

    def _shorten(self, holding: Holding, stamp: int, keep: int) -> None:
        self._spans.release(holding.runs[stamp], keep, holding.bit)
        self.pairs -= holding.blocks
        self.runs -= len(holding.runs)
        holding.shorten(stamp, keep)
        self.pairs += holding.blocks
        self.runs += len(holding.runs)
