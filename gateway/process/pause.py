"""A rest that ends early when what rests is wanted no more; a parameter of whoever rests, so that tests need not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

Pause = Callable[[float, asyncio.Event], Awaitable[None]]
"""Waits so many seconds, or until the event."""


async def pause(seconds: float, over: asyncio.Event) -> None:
    """Wait so long, or until `over` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await over.wait()
