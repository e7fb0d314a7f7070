"""What is scored, in the writer process: pairs of answers, on a thread of its own that nobody waits for.

What finds no room here, or no database to go into, is dropped and counted: an evaluation is worth less than whatever
would have to wait for it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from gateway import clock
from gateway.store.contents.content import ANSWER_CUT, ContentRecord
from gateway.store.courtesy import Courtesy
from gateway.store.database import DatabaseAway, DatabaseRefused
from gateway.store.evaluations.pairing import Pair, Pairing
from gateway.store.evaluations.similarity import chrf, rouge_l
from gateway.store.evaluations.table import Evaluation

MOST_WAITING: Final = 512
MOST_AT_ONCE: Final = 32
"""Pairs in one transaction."""
SIMILARITY: Final = "similarity"
STORED: Final = "stored"
MEMORY: Final = "memory"
AWAY: Final = "away"
ALONE: Final = "alone"
CUT: Final = "cut"
"""What becomes of a pair: `cut` where the end of an answer was not kept, so that the two cannot be compared."""

log = structlog.get_logger()


class Table(Protocol):
    """Where evaluations are kept: `gateway.store.evaluations.table.EvaluationTable`."""

    def insert(self, evaluations: Sequence[Evaluation]) -> None: ...
    def close(self) -> None: ...


class Desk:
    """See the module. `take` and `counts` may be called from any thread."""

    def __init__(
        self,
        open_table: Callable[[], Table],
        *,
        courtesy: Courtesy | None = None,
        after_records: Callable[[], object] = lambda: None,
        pairing: Pairing | None = None,
    ) -> None:
        """`open_table` raises DatabaseAway or DatabaseRefused. `courtesy` and `after_records` are those of the writer
        of records, as `gateway.store.contents.keeper` has them."""
        self._open_table = open_table
        self._courtesy = courtesy or Courtesy()
        self._after_records = after_records
        self._pairing = pairing or Pairing()
        self._lock = threading.Lock()
        self._counted: Counter[str] = Counter()
        self._queue: queue.Queue[Pair | None] = queue.Queue(MOST_WAITING)
        self._table: Table | None = None
        self._told = False
        self._thread = threading.Thread(target=self._run, name="evaluations", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self, pair: str, record: ContentRecord) -> None:
        """One answer of a pair, by the id of its original."""
        with self._lock:
            both = self._pairing.take(pair, record, clock.monotonic())
        if both is None:
            return
        if (both.original.cut | both.copy.cut) & ANSWER_CUT:
            self._count(CUT)
            return
        try:
            self._queue.put_nowait(both)
        except queue.Full:
            self._count(MEMORY)

    def counts(self) -> dict[str, int]:
        """How many pairs were compared, and how many were not, by the reason: as `evaluator/result`."""
        with self._lock:
            counted = {**self._counted, ALONE: self._pairing.alone}
        return {f"{SIMILARITY}/{result}": count for result, count in counted.items() if count}

    def close(self) -> None:
        """Score what came, then end. Blocks."""
        with self._courtesy.suspended():
            self._queue.put(None)
            self._thread.join()

    def _count(self, what: str, by: int = 1) -> None:
        with self._lock:
            self._counted[what] += by

    # From here on: the thread.

    def _run(self) -> None:
        self._courtesy.begin()
        try:
            last = False
            while not last:
                pairs, last = self._next()
                try:
                    self._settle(pairs)
                except Exception:
                    log.exception("evaluation_failed")
        finally:
            self._courtesy.end()
            if self._table is not None:
                self._table.close()

    def _next(self) -> tuple[list[Pair], bool]:
        pairs: list[Pair] = []
        item = self._queue.get()
        while item is not None:
            pairs.append(item)
            if len(pairs) >= MOST_AT_ONCE:
                return pairs, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return pairs, False
        return pairs, True

    def _settle(self, pairs: Sequence[Pair]) -> None:
        if not pairs:
            return
        found = [one for pair in pairs for one in compared(pair, int(clock.wall() * 1e3))]
        try:
            if self._table is None:
                self._table = self._open_table()
            self._after_records()
            with self._courtesy.holding():
                self._table.insert(found)
        except (DatabaseAway, DatabaseRefused) as error:
            self._count(AWAY, len(pairs))
            if self._table is not None:
                with contextlib.suppress(Exception):
                    self._table.close()
                self._table = None
            if not self._told:
                self._told = True
                log.error("evaluations_not_stored", why=str(error))
        else:
            self._told = False
            self._count(STORED, len(pairs))


def compared(pair: Pair, at_ms: int) -> list[Evaluation]:
    """What the texts of a pair say of the copy's."""
    wanted, said, copy_id = pair.original.answer, pair.copy.answer, pair.copy.record_id
    return [
        Evaluation(copy_id, "rouge_l", at_ms, rouge_l(wanted, said)),
        Evaluation(copy_id, "chrf", at_ms, chrf(wanted, said)),
    ]
