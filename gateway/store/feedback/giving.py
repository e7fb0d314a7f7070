"""Feedback is kept beside the loop of the store, in threads that others need, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.feedback.table import LOOK_S

LOOKS: Final = 2
"""At once, for requests by their request id: of one that nobody sent, a look goes through a month of records."""
MOST_AT_ONCE: Final = 64
"""In one transaction."""
TOO_MANY: Final = "too many requests are looked for by their request_id: name the record, by its record_id"


class Giving:
    """Belongs to one loop."""

    def __init__(self, give: Callable[[GiveFeedback], FeedbackGiven], *, wait_s: float = LOOK_S) -> None:
        """`give` blocks; `wait_s` is how long one waits for others' looks."""
        self._keep = give
        self._wait_s = wait_s
        self._looks = asyncio.Semaphore(LOOKS)

    async def give(self, given: GiveFeedback) -> FeedbackGiven:
        """Keep it, as soon as it may be looked for. Raises what keeping it raises."""
        if not given.request_id:
            return await asyncio.to_thread(self._keep, given)
        try:
            async with asyncio.timeout(self._wait_s):
                await self._looks.acquire()
        except TimeoutError:
            return FeedbackGiven("away", TOO_MANY)
        try:
            return await asyncio.to_thread(self._keep, given)
        finally:
            self._looks.release()


class Gathering:
    """Gives together what comes while others' is being kept: as many transactions as there is time for, and no more.
    Belongs to one loop."""

    def __init__(self, give: Callable[[Sequence[GiveFeedback]], Awaitable[list[FeedbackGiven]]]) -> None:
        """`give` keeps all, or raises and keeps none."""
        self._keep = give
        self._waiting: list[tuple[GiveFeedback, asyncio.Future[FeedbackGiven]]] = []
        self._one_at_a_time = asyncio.Lock()

    async def give(self, given: GiveFeedback) -> FeedbackGiven:
        """Keep it. Raises what keeping it raises."""
        done: asyncio.Future[FeedbackGiven] = asyncio.get_running_loop().create_future()
        self._waiting.append((given, done))
        async with self._one_at_a_time:
            if not done.done():
                await self._keep_some()
        return await done

    async def _keep_some(self) -> None:
        some, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        try:
            told = await self._keep([given for given, _ in some])
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            for _, done in some:
                if not done.done():
                    done.cancel() if cancelled else done.set_exception(error)
            if cancelled:
                raise
            return
        for (_, done), one in zip(some, told, strict=True):
            if not done.done():  # who waited for it may be gone
                done.set_result(one)
