"""All that evaluates answers in the writer process, joined: the desk, the judges, and where what they find goes.

What is found of an answer is kept as feedback (`gateway.store.feedback`), of a tenant's own request and joined to its
arm, under the evaluator's name; what is found of a pair is kept with the copy's record. The control plane hears of
both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from engines.port import Spawn
from gateway import clock
from gateway.accounts.record import SHADOW
from gateway.store.contents.content import Content, ContentRecord
from gateway.store.database.port import DatabaseAway, DatabaseRefused
from gateway.store.evaluations.desk import ERROR, LEFT, MEMORY, SHORT, STORED, Desk, Table
from gateway.store.evaluations.evaluator import Evaluator
from gateway.store.evaluations.messages import EvaluatorFinding
from gateway.store.evaluations.question import Judgement, Question
from gateway.store.evaluations.table import Evaluation
from gateway.store.feedback.giving import Gathering
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.writing.courtesy import Courtesy

if TYPE_CHECKING:
    from gateway.store.evaluations.judges import Clients, Judges

MOST_FINDINGS: Final = 1_024
"""Until the control plane asks, which is each second; of more it does not hear, and they are stored all the same."""
UNKNOWN_TRIES: Final = 4
AGAIN_S: Final = 1.0
"""After which the record of an answer, that a judge was faster than, should be in the store."""
CLOSE_S: Final = 10.0
"""Judges may take so long for what they were to be asked, once all records are written and the writer is to end."""
GIVEN_BY: Final = "evaluator"
"""The key that feedback of an evaluator is told by."""

log = structlog.get_logger()


class Evaluating:
    """See the module. Belongs to the event loop, but for `take`."""

    def __init__(
        self,
        open_table: Callable[[], Table],
        give: Callable[[Sequence[GiveFeedback]], Awaitable[list[FeedbackGiven]]],
        spawn: Spawn,
        *,
        courtesy: Courtesy | None = None,
        after_records: Callable[[], object] = lambda: None,
        client: Clients | None = None,
        again_s: float = AGAIN_S,
        close_s: float = CLOSE_S,
    ) -> None:
        """`give` keeps feedback: all of it, or none where it raises. `client` makes one for a judge. For
        the rest see `gateway.store.evaluations.desk`."""
        self._loop = asyncio.get_running_loop()
        self._giving = Gathering(give)
        self._spawn = spawn
        self._client = client
        self._again_s = again_s
        self._close_s = close_s
        self._findings: deque[EvaluatorFinding] = deque(maxlen=MOST_FINDINGS)
        self._judges: Judges | None = None
        """Made for the first that is asked."""
        self._desk = Desk(
            open_table,
            ask=self._ask,
            tell=self._compared,
            courtesy=courtesy,
            after_records=after_records,
        )

    def start(self) -> None:
        self._desk.start()

    def use(self, evaluators: Sequence[Evaluator]) -> None:
        """These are all there are, from now on."""
        self._desk.use(evaluators)

    def take(self, content: Content, record: ContentRecord) -> None:
        """What may be seen of a content. From any thread."""
        self._desk.take(content, record)

    def counts(self) -> dict[str, int]:
        """What became of answers and pairs, as `evaluator/result`."""
        counted = Counter(self._desk.counts())
        if self._judges is not None:
            counted.update({f"{name}/{MEMORY}": count for name, count in self._judges.dropped.items()})
            counted.update({f"{name}/{LEFT}": count for name, count in self._judges.left.items()})
        return dict(counted)

    def findings(self) -> list[EvaluatorFinding]:
        """What was found since this was asked last."""
        found = []
        while self._findings:
            found.append(self._findings.popleft())
        return found

    async def close(self) -> None:
        """Ask what there is to ask, for `close_s` seconds at most, and store what was found. What no judge has spoken
        of by then is left, counted and told."""
        await asyncio.to_thread(self._desk.flush)  # which may have questions, too
        if self._judges is not None:
            await self._judges.end(self._close_s)
            if self._judges.left:
                told = ", ".join(f"{count} of {name}" for name, count in sorted(self._judges.left.items()))
                log.warning("evaluations_left", questions=told)
        await asyncio.to_thread(self._desk.close)

    def _ask(self, question: Question) -> None:
        """From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._offer, question)

    def _offer(self, question: Question) -> None:
        if self._judges is None:
            from gateway.store.evaluations.judges import Judges  # with an HTTP client, which few stores need

            self._judges = Judges(self._spawn, self._judged, self._client)
        self._judges.offer(question)

    def _compared(self, evaluation: Evaluation, model: str) -> None:
        told = FeedbackGiven(record_id=evaluation.record_id, model=model, arm=SHADOW)
        self._findings.append(EvaluatorFinding("comparison", evaluation.metric, evaluation.value, told))

    async def _judged(self, question: Question, judgement: Judgement | None, error: str) -> None:
        name, asked = question.evaluator.name, question.asked
        if error == SHORT:
            self._desk.count(name, SHORT)
            return
        if judgement is None:
            self._desk.count(name, ERROR)
            told = FeedbackGiven(record_id=_of(question).record_id, model=question.model)
            self._findings.append(EvaluatorFinding("judge", name, None, told, error=error))
            return
        if isinstance(asked, ContentRecord):
            told = await self._kept(question, asked, judgement)
            if told.problem:
                self._desk.count(name, told.problem)
                return
            self._desk.count(name, STORED)
        else:
            copy = asked.copy
            at_ms, score = int(clock.wall() * 1e3), judgement.score
            self._desk.keep(name, Evaluation(copy.record_id, name, at_ms, score, judgement.label))
            told = FeedbackGiven(record_id=copy.record_id, model=question.model, arm=SHADOW)
        self._findings.append(EvaluatorFinding("judge", name, judgement.score, told, judgement.label))

    async def _kept(self, question: Question, record: ContentRecord, judgement: Judgement) -> FeedbackGiven:
        """As feedback on the request; its record may be on its way still."""
        name = question.evaluator.name
        given = GiveFeedback(
            question.tenant,
            GIVEN_BY,
            record.record_id,
            "",
            name,
            judgement.score,
            judgement.explanation,
            "",
            f"{GIVEN_BY}/{name}/{record.record_id}",
            int(clock.wall() * 1e3),
            {question.model: question.redact},
        )
        told = FeedbackGiven("unknown")
        for number in range(UNKNOWN_TRIES):
            if number:
                await asyncio.sleep(self._again_s)
            try:
                told = await self._giving.give(given)
            except (DatabaseAway, DatabaseRefused):
                return FeedbackGiven("away")
            if told.problem != "unknown":
                break
        return told


def _of(question: Question) -> ContentRecord:
    asked = question.asked
    return asked if isinstance(asked, ContentRecord) else asked.copy
