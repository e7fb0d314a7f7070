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
from typing import Final, NamedTuple, Protocol

import structlog

from gateway import clock
from gateway.store.contents.content import ANSWER_CUT, Content, ContentRecord
from gateway.store.database.port import DatabaseAway, DatabaseRefused
from gateway.store.evaluations.evaluator import Evaluator
from gateway.store.evaluations.pairing import Pair, Pairing
from gateway.store.evaluations.question import Question
from gateway.store.evaluations.similarity import chrf, rouge_l
from gateway.store.evaluations.table import Evaluation
from gateway.store.evaluations.texts import BY_KIND
from gateway.store.writing.courtesy import Courtesy

MOST_WAITING: Final = 512
MOST_AT_ONCE: Final = 32
"""Pairs in one transaction."""
SIMILARITY: Final = "similarity"
STORED: Final = "stored"
MEMORY: Final = "memory"
AWAY: Final = "away"
ALONE: Final = "alone"
LEFT: Final = "left"
CUT: Final = "cut"
ERROR: Final = "error"
SHORT: Final = "shortage"
"""What becomes of a pair: `shortage` where no judge could be asked, for want of descriptors, local ports or memory of
our own; `cut` where the end of an answer was not kept, so that the two cannot be compared; `left`
where the gateway ended before its judge had said anything."""

log = structlog.get_logger()


class Table(Protocol):
    """Where evaluations are kept: `gateway.store.evaluations.table.EvaluationTable`."""

    def insert(self, evaluations: Sequence[Evaluation]) -> None: ...
    def close(self) -> None: ...


class Work(NamedTuple):
    """A pair to be compared, or what was found of one elsewhere."""

    pair: Pair | None
    redact: str = ""
    found: Evaluation | None = None
    evaluator: str = SIMILARITY
    tenant: str = ""
    model: str = ""
    """Those of the pair's request."""


class Desk:
    """See the module. All but `start` may be called from any thread."""

    def __init__(
        self,
        open_table: Callable[[], Table],
        *,
        ask: Callable[[Question], None] = lambda _question: None,
        tell: Callable[[Evaluation, str], None] = lambda _evaluation, _model: None,
        courtesy: Courtesy | None = None,
        after_records: Callable[[], object] = lambda: None,
        pairing: Pairing | None = None,
    ) -> None:
        """`open_table` raises DatabaseAway or DatabaseRefused. `ask` is given what a judge is to be asked, `tell` what
        was found of a copy, and its model; both on whatever thread. `courtesy` and `after_records` are those of the
        writer of records, as `gateway.store.contents.keeper` has them."""
        self._open_table = open_table
        self._ask = ask
        self._tell = tell
        self._evaluators: tuple[Evaluator, ...] = ()
        self._courtesy = courtesy or Courtesy()
        self._after_records = after_records
        self._pairing = pairing or Pairing()
        self._lock = threading.Lock()
        self._counted: Counter[str] = Counter()
        self._queue: queue.Queue[Work | None] = queue.Queue(MOST_WAITING)
        self._table: Table | None = None
        self._told = False
        self._thread = threading.Thread(target=self._run, name="evaluations", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def use(self, evaluators: Sequence[Evaluator]) -> None:
        """These are all there are, from now on."""
        self._evaluators = tuple(evaluators)

    def take(self, content: Content, record: ContentRecord) -> None:
        """What may be seen of a content."""
        pair = content.pair
        if content.keeps and pair in ("", record.record_id):  # of a copy only its pair is evaluated
            for evaluator in self._evaluators:
                if not evaluator.pairs and evaluator.takes(content.model, record.record_id):
                    self._ask(Question(evaluator, record, content.tenant, content.model, content.redact))
        if not pair:
            return
        with self._lock:
            both = self._pairing.take(pair, record, clock.monotonic())
        if both is None:
            return
        if (both.original.cut | both.copy.cut) & ANSWER_CUT:
            self.count(SIMILARITY, CUT)
        else:
            self._put(Work(both, content.redact, tenant=content.tenant, model=content.model))

    def keep(self, evaluator: str, found: Evaluation) -> None:
        """Store what a judge has found of a copy."""
        self._put(Work(None, "", found, evaluator))

    def _put(self, work: Work) -> None:
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            self.count(work.evaluator, MEMORY)

    def counts(self) -> dict[str, int]:
        """How many answers and pairs were evaluated, and how many were not, by the reason: as `evaluator/result`."""
        with self._lock:
            counted = {**self._counted, f"{SIMILARITY}/{ALONE}": self._pairing.alone}
        return {what: count for what, count in counted.items() if count}

    def flush(self) -> None:
        """Score what came. Blocks."""
        with self._courtesy.suspended():
            self._queue.join()

    def close(self) -> None:
        """Score what came, then end. Blocks."""
        with self._courtesy.suspended():
            self._queue.put(None)
            self._thread.join()

    def count(self, evaluator: str, result: str) -> None:
        with self._lock:
            self._counted[f"{evaluator}/{result}"] += 1

    # From here on: the thread.

    def _run(self) -> None:
        self._courtesy.begin()
        try:
            last = False
            while not last:
                works, last = self._next()
                try:
                    self._settle(works)
                except Exception:
                    log.exception("evaluation_failed")
                for _ in works:
                    self._queue.task_done()
        finally:
            self._courtesy.end()
            if self._table is not None:
                self._table.close()

    def _next(self) -> tuple[list[Work], bool]:
        works: list[Work] = []
        item = self._queue.get()
        while item is not None:
            works.append(item)
            if len(works) >= MOST_AT_ONCE:
                return works, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return works, False
        return works, True

    def _found(self, work: Work) -> list[tuple[str, Evaluation, str]]:
        """What is found of one: by whom, what, and of which model."""
        if work.found is not None:
            return [(work.evaluator, work.found, "")]
        pair = work.pair
        assert pair is not None
        at_ms, model = int(clock.wall() * 1e3), work.model
        found = [(SIMILARITY, one, model) for one in compared(pair, at_ms)]
        for evaluator in self._evaluators:
            if not evaluator.pairs or not evaluator.takes(model, pair.original.record_id):
                continue
            if evaluator.kind == "http":
                self._ask(Question(evaluator, pair, work.tenant, model, work.redact))
                continue
            try:
                scores = BY_KIND[evaluator.kind](pair.original.answer, pair.copy.answer)
            except Exception as error:
                self.count(evaluator.name, ERROR)
                log.error("evaluator_failed", evaluator=evaluator.name, why=type(error).__name__)
                continue
            name, copy_id = evaluator.name, pair.copy.record_id
            found += [(name, Evaluation(copy_id, name + part, at_ms, score), model) for part, score in scores.items()]
        return found

    def _settle(self, works: Sequence[Work]) -> None:
        found = [one for work in works for one in self._found(work)]
        if not found:
            return
        by_whom = dict.fromkeys((name, evaluation.record_id) for name, evaluation, _ in found)
        try:
            if self._table is None:
                self._table = self._open_table()
            self._after_records()
            with self._courtesy.holding():
                self._table.insert([evaluation for _, evaluation, _ in found])
        except (DatabaseAway, DatabaseRefused) as error:
            for name, _ in by_whom:
                self.count(name, AWAY)
            if self._table is not None:
                with contextlib.suppress(Exception):
                    self._table.close()
                self._table = None
            if not self._told:
                self._told = True
                log.error("evaluations_not_stored", why=str(error))
        else:
            self._told = False
            for name, _ in by_whom:
                self.count(name, STORED)
            for _, evaluation, model in found:
                if model:
                    self._tell(evaluation, model)


def compared(pair: Pair, at_ms: int) -> list[Evaluation]:
    """What the texts of a pair say of the copy's."""
    wanted, said, copy_id = pair.original.answer, pair.copy.answer, pair.copy.record_id
    return [
        Evaluation(copy_id, "rouge_l", at_ms, rouge_l(wanted, said)),
        Evaluation(copy_id, "chrf", at_ms, chrf(wanted, said)),
    ]
