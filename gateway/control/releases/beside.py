"""The question to the store, asked beside the loop over releases: a rollback is due within a second, whatever hangs."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Final

from engines.port import Spawn

LATE_S: Final = 0.05
"""The loop waits no longer for the store."""
HANGS_S: Final = 0.5
"""A store that has not answered for so long is away, for whoever wants to roll back."""


class Beside:
    """One question at a time. Belongs to the event loop."""

    def __init__(self, question: Callable[[], Awaitable[object]], spawn: Spawn, now_s: Callable[[], float]) -> None:
        """`question` asks, and takes in what is answered."""
        self._question = question
        self._spawn = spawn
        self._now_s = now_s
        self._asked_at_s = 0.0
        self._asking: asyncio.Future[None] | None = None

    async def ask(self) -> None:
        """Ask, unless the answer to the last question is still to come, and wait a moment for it. Raises what asking
        has raised, if not at once then at the next time."""
        if self._asking is None:
            self._asked_at_s = self._now_s()
            self._asking = asyncio.get_running_loop().create_future()
            self._spawn("releases_sync", functools.partial(self._answering, self._asking))
        await asyncio.wait({self._asking}, timeout=LATE_S)
        if self._asking.done():
            asked, self._asking = self._asking, None
            asked.result()

    @property
    def hangs(self) -> bool:
        return self._asking is not None and self._now_s() - self._asked_at_s >= HANGS_S

    async def _answering(self, answer: asyncio.Future[None]) -> None:
        try:
            await self._question()
        except Exception as error:
            answer.set_exception(error)  # for the loop, which waits for it sooner or later
        else:
            answer.set_result(None)
