"""When to stop: SIGTERM or Ctrl-C lets what runs finish, and a second Ctrl-C does not wait for it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final

from gateway.workers.exchange.messages import Drain, Drained

if TYPE_CHECKING:
    from gateway.control.plane import Plane


CUT_OFF_S: Final = 5.0
"""Workers write down what they cut off."""


class Stopping:
    """The signals that end the process, as events."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take SIGTERM and SIGINT from now on."""
        loop.add_signal_handler(signal.SIGTERM, self.asked.set)
        loop.add_signal_handler(signal.SIGINT, self.interrupted)

    def interrupted(self) -> None:
        """Ctrl-C was pressed. An orchestrator may send SIGTERM as often as it likes; a person means it."""
        (self.hurried if self.asked.is_set() else self.asked).set()


async def stop(plane: Plane, stopping: Stopping) -> None:
    """Stop `plane` with its grace period, or what a second Ctrl-C leaves of it."""
    whole = asyncio.ensure_future(plane.stop())
    hurried = asyncio.ensure_future(stopping.hurried.wait())
    try:
        await asyncio.wait({whole, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not whole.done():
            await plane.links.ask_all(Drain(0.0), Drained, timeout_s=CUT_OFF_S)
        await whole
    finally:
        whole.cancel()
        hurried.cancel()
