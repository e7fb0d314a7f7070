"""Judges: evaluators that are asked over HTTP, by the loop of the writer process.

An answer is told as `{evaluator, model, record_id, operation, prompt, answer}`, and a judge says
`{score, label?, explanation?}`. Of a pair it is told `first` and `second` in place of `answer`, and says how much
better the second is: 0 the first, 1 the second, 0.5 neither. It is asked twice, in both orders, and the mean counts:
many a judge prefers what it reads first.

Each judge has a queue, and so many questions at once; what finds no room is dropped and counted. A question is tried
again where the judge was busy, broken or silent, and counted as an `error` when that does not help; where this process
could open no connection, which says nothing about a judge, as a `shortage`. At the end what was offered is asked still,
for a while; what is left then is counted, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import msgspec
import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from engines.http1.dialing import OURS
from engines.port import Spawn
from gateway import clock
from gateway.refusing import shortage
from gateway.store.contents.content import ContentRecord, storable
from gateway.store.evaluations.desk import SHORT
from gateway.store.evaluations.evaluator import Evaluator
from gateway.store.evaluations.question import Judgement, Question
from gateway.store.feedback.messages import MOST_VALUE

TRIES: Final = 3
FIRST_WAIT_S: Final = 0.5
MOST_WAIT_S: Final = 10.0
MOST_WAITING: Final = 256
"""Questions to one judge."""
MOST_BYTES: Final = 64 * 1024
"""Of what a judge says."""
MOST_EXPLANATION: Final = 4_096
_COUNTED: Final = f'penstock_evaluations_total{{result="{SHORT}"}}'
_LABEL: Final = re.compile(r"[\w-]{1,64}").fullmatch
"""A name for what was found. A sentence might quote what it is about, and no hook sees a label."""

log = structlog.get_logger()


Clients = Callable[[], httpx.AsyncClient]
Found = Callable[[Question, Judgement | None, str], Awaitable[None]]
"""Takes what was said, or None and why nothing was."""


class _Again(Exception):
    """Another try may help."""


class _Short(_Again):
    """We are out of what a connection takes."""


class _Useless(Exception):
    """None would."""


class Judges:
    """See the module. Belongs to the event loop."""

    def __init__(
        self,
        spawn: Spawn,
        found: Found,
        client: Clients | None = None,
        *,
        first_wait_s: float = FIRST_WAIT_S,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._spawn = spawn
        self._found = found
        self._client = client or httpx.AsyncClient
        self._first_wait_s = first_wait_s
        self._most_waiting = most_waiting
        self._waiting: dict[str, deque[Question]] = {}
        self._asking: Counter[str] = Counter()
        self._failing: set[str] = set()
        self._open: Counter[str] = Counter()
        """Questions that were offered and are not through, by evaluator."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = False
        self.dropped: Counter[str] = Counter()
        """By evaluator, for want of room."""
        self.left: Counter[str] = Counter()
        """By evaluator, what was not through at the end."""

    def offer(self, question: Question) -> None:
        """Ask it when there is a place."""
        name = question.evaluator.name
        if self._ended:
            self.left[name] += 1
            return
        waiting = self._waiting.setdefault(name, deque())
        if len(waiting) >= self._most_waiting:
            self.dropped[name] += 1
            return
        waiting.append(question)
        self._open[name] += 1
        self._idle.clear()
        if self._asking[name] < question.evaluator.concurrency:
            self._asking[name] += 1
            self._spawn(f"judge_{name}", lambda: self._ask_all(name))

    async def end(self, within_s: float) -> None:
        """Ask what was offered, for so long at most; what is not through then counts as `left`, and nothing is asked
        any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        self._ended = True
        self.left += self._open
        for waiting in self._waiting.values():
            waiting.clear()

    async def _ask_all(self, name: str) -> None:
        waiting = self._waiting[name]
        try:
            try:
                client = self._client()  # which reads the authorities
            except OSError as error:
                if not _is_ours(error):
                    raise
                while waiting:
                    await self._fell_short(waiting.popleft(), error)
                    self._through(name)
                return
            async with client:
                while waiting:
                    try:
                        await self._ask_one(client, waiting.popleft())
                    finally:
                        self._through(name)
        finally:
            self._asking[name] -= 1

    def _through(self, name: str) -> None:
        self._open[name] -= 1
        if not self._open.total():
            self._idle.set()

    async def _ask_one(self, client: httpx.AsyncClient, question: Question) -> None:
        name = question.evaluator.name
        try:
            said = await self._judged(client, question)
        except _Short as error:
            await self._fell_short(question, error)
        except (_Again, _Useless) as error:
            if self._ended:  # it is counted
                return
            if name not in self._failing:
                self._failing.add(name)
                log.error("judge_failed", evaluator=name, why=str(error))
            await self._found(question, None, str(error))
        else:
            if self._ended:
                return
            self._failing.discard(name)
            await self._found(question, said, "")

    async def _fell_short(self, question: Question, error: Exception) -> None:
        if not self._ended:
            shortage.tell(clock.monotonic(), str(error), _COUNTED)
            await self._found(question, None, SHORT)

    async def _judged(self, client: httpx.AsyncClient, question: Question) -> Judgement:
        asked, told = question.asked, {"evaluator": question.evaluator.name}
        if isinstance(asked, ContentRecord):
            return await self._post(client, question, {**told, **_described(asked), "answer": asked.answer})
        told |= {**_described(asked.original), "copy_id": asked.copy.record_id}
        one, other = asked.original.answer, asked.copy.answer
        forth = await self._post(client, question, {**told, "first": one, "second": other})
        back = await self._post(client, question, {**told, "first": other, "second": one})
        return Judgement((forth.score + 1.0 - back.score) / 2.0, forth.label, forth.explanation)

    async def _post(self, client: httpx.AsyncClient, question: Question, body: dict[str, Any]) -> Judgement:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=self._first_wait_s, max=MOST_WAIT_S),
            retry=retry_if_exception_type(_Again),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                return await self._once(client, question.evaluator, body)
        raise AssertionError("it is tried at least once")

    async def _once(self, client: httpx.AsyncClient, evaluator: Evaluator, body: dict[str, Any]) -> Judgement:
        headers = {"accept-encoding": "identity"}
        if evaluator.api_key:
            headers["authorization"] = f"Bearer {evaluator.api_key}"
        asking = client.stream("POST", evaluator.url, json=body, headers=headers, timeout=evaluator.timeout_s)
        try:
            async with asyncio.timeout(evaluator.timeout_s), asking as answer:
                if answer.status_code == 429 or answer.status_code >= 500:
                    raise _Again(f"status_{answer.status_code}")
                if not answer.is_success:
                    raise _Useless(f"status_{answer.status_code}")
                return read(await _whole(answer), pairs=evaluator.pairs)
        except TimeoutError:
            raise _Again("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            if _is_ours(error):
                raise _Short(str(error)) from None
            raise _Again(type(error).__name__) from None


def _is_ours(error: BaseException) -> bool:
    """Whether it came of what this process, or machine, has run out of: libraries wrap what the system said."""
    if isinstance(error, OSError) and error.errno in OURS:
        return True
    within = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    cause = error.__cause__ or error.__context__
    return any(map(_is_ours, within)) or (cause is not None and _is_ours(cause))


async def _whole(answer: httpx.Response) -> bytes:
    """Its body. Raises _Useless for one beyond the bound, of which no more is read, and for one that would have to be
    unpacked to be measured."""
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise _Useless("compressed")
    body = bytearray()
    async for data in answer.aiter_bytes():
        body += data
        if len(body) > MOST_BYTES:
            raise _Useless("too_long")
    return bytes(body)


def read(body: bytes, *, pairs: bool) -> Judgement:
    """What a judge's answer says, as it can be stored. Raises _Useless for what makes no sense."""
    try:
        said = msgspec.json.decode(body, type=Judgement)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _Useless("no_score") from None
    if not math.isfinite(said.score):
        raise _Useless("no_score")
    if not (0.0 <= said.score <= 1.0 if pairs else abs(said.score) <= MOST_VALUE):
        raise _Useless("out_of_range")
    label = said.label if _LABEL(said.label) else ""
    return Judgement(said.score, label, storable(said.explanation[:MOST_EXPLANATION]))


def _described(record: ContentRecord) -> dict[str, str]:
    return {
        "model": record.model,
        "record_id": record.record_id,
        "operation": record.operation,
        "prompt": record.prompt,
    }
