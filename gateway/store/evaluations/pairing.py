"""The two answers of a request that was copied: each waits for the other, within bounds of number and of time."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.store.contents.content import ContentRecord

MOST: Final = 512
"""Answers that wait: with texts of the usual bound, 64 MB at most."""
PATIENCE_S: Final = 900.0


class Pair(NamedTuple):
    """Two answers to one request."""

    original: ContentRecord
    copy: ContentRecord


class Pairing:
    """Brings them together. `now` (seconds) never runs backwards."""

    def __init__(self, most: int = MOST, patience_s: float = PATIENCE_S) -> None:
        self._most = most
        self._patience_s = patience_s
        self._waiting: dict[str, tuple[float, ContentRecord]] = {}
        """By the original's id; the oldest first."""
        self.alone = 0
        """Answers whose other one did not come in time, or for which there was no room."""

    def take(self, pair: str, record: ContentRecord, now: float) -> Pair | None:
        """One answer of the pair of this name, which is the original's id; returns both once both are there."""
        self._forget(now)
        known = self._waiting.pop(pair, None)
        if known is None or known[1].record_id == record.record_id:
            self._waiting[pair] = now, record
            return None
        other = known[1]
        return Pair(record, other) if record.record_id == pair else Pair(other, record)

    def _forget(self, now: float) -> None:
        waiting = self._waiting
        while waiting:
            oldest = next(iter(waiting))
            if len(waiting) < self._most and now - waiting[oldest][0] < self._patience_s:
                break
            del waiting[oldest]
            self.alone += 1
