"""Questions over a link: a number for each, one answer, and an end for every one of them.

A question ends with its answer, with why there is none, with its time, or with the link. Nobody waits for ever, and
nobody who asks or answers counts numbers by hand.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

MAX_OPEN = 256
"""Questions of one end that may be open at once; a peer that asks more is refused at once."""

Answer = TypeVar("Answer")

log = structlog.get_logger()


class LinkError(Exception):
    """A question has no answer."""


class LinkLost(LinkError):
    """The other end is gone."""


class LinkFull(LinkError):
    """The message was not sent, because the other end reads too slowly."""


class AskFailed(LinkError):
    """The other end could not answer; the message says why."""


class Questions:
    """The questions that one end has asked and that are still open."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._open: dict[int, tuple[asyncio.Future[Any], type]] = {}

    def open(self, answer: type[Answer], timeout_s: float) -> tuple[int, asyncio.Future[Answer]]:
        """A new question: its number, and what will hold the answer.

        The future raises TimeoutError after `timeout_s`, LinkLost when the link ends, and AskFailed when the other end
        fails or answers with another type than `answer`.
        """
        number = next(self._numbers) & 0xFFFFFFFF
        waiting: asyncio.Future[Answer] = self._loop.create_future()
        timer = self._loop.call_later(timeout_s, self.fail, number, TimeoutError("no answer in time"))
        self._open[number] = waiting, answer

        def ended(_: object) -> None:
            timer.cancel()
            self._open.pop(number, None)

        waiting.add_done_callback(ended)
        return number, waiting

    def answer(self, number: int, message: object) -> None:
        """The answer came. One that nobody waits for any more is dropped."""
        found = self._open.pop(number, None)
        if found is None or found[0].done():
            return
        waiting, kind = found
        if isinstance(message, kind):
            waiting.set_result(message)
        else:
            waiting.set_exception(AskFailed(f"answered with {type(message).__name__}, not {kind.__name__}"))

    def fail(self, number: int, error: Exception) -> None:
        """There will be no answer."""
        found = self._open.pop(number, None)
        if found is not None and not found[0].done():
            found[0].set_exception(error)

    def lost(self) -> None:
        """The link ended, and every open question with it."""
        for number in list(self._open):
            self.fail(number, LinkLost("the other end is gone"))


class Answering:
    """Answers the questions of the other end, `MAX_OPEN` at once at most."""

    def __init__(
        self,
        spawn: Callable[[str, Callable[[], Any]], None],
        answer: Callable[[Any], Awaitable[Any]],
        reply: Callable[[int, Any], None],
        refuse: Callable[[int, str], None],
    ) -> None:
        """`spawn` runs a coroutine under a name; `reply` and `refuse` send what comes of a question by its number."""
        self._spawn = spawn
        self._answer = answer
        self._reply = reply
        self._refuse = refuse
        self._running = 0

    def asked(self, number: int, message: object) -> None:
        """Begin to answer one question."""
        if self._running >= MAX_OPEN:
            self._refuse(number, "too many questions at once")
            return
        try:
            answering = self._answer(message)
        except Exception as error:
            self._failed(number, message, error)
            return
        self._running += 1
        self._spawn("answer", lambda: self._run(number, message, answering))

    def _failed(self, number: int, message: object, error: Exception) -> None:
        log.error("question_failed", question=type(message).__name__, exc_info=error)
        self._refuse(number, f"{type(error).__name__}: {error}")

    async def _run(self, number: int, message: object, answering: Awaitable[Any]) -> None:
        try:
            result = await answering
        except Exception as error:
            self._failed(number, message, error)
        else:
            self._reply(number, result)
        finally:
            self._running -= 1
