"""Feedback is kept beside the loop of the store, in threads that others need, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.feedback.table import LOOK_S

LOOKS: Final = 2
"""At once, for requests by their request id: of one that nobody sent, a look goes through a month of records."""
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
