"""How a worker lets its clients finish: those without a request leave at once, the others get a grace period.

Who asks for no grace, also while a longer one runs, has the rest cut off now.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from gateway.errand import Errand
from gateway.flight import Flight

if TYPE_CHECKING:
    from gateway.http.handler import Visitor
    from gateway.workers.reception import Reception

log = structlog.get_logger()


class Draining:
    """Empties a `Reception` that lets nobody in any more."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """The rest of the grace period is over."""
        self._hurried.set()

    async def run(self, grace_s: float) -> None:
        """Wait for at most `grace_s` until everybody has gone, then cut the rest off, and say so."""
        clients = self._reception.clients
        for client in list(clients):
            client.drain()
        if not clients:
            return
        empty = self._reception.empty
        empty.clear()
        busy = sum(client.work is not None for client in clients)
        if busy and grace_s > 0:
            log.info("waiting_for_requests", requests=busy, grace_s=grace_s)
        waiting = [asyncio.ensure_future(event.wait()) for event in (empty, self._hurried)]
        try:
            await asyncio.wait(waiting, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        if clients:
            asked = {"asked": True} if self._hurried.is_set() else {"after_s": grace_s}
            log.warning("cut_off", streams=len(clients), **asked)
            for client in list(clients):
                _cut_off(client)
            await empty.wait()  # each is settled, and written down, by the loss of its connection


def _cut_off(client: Visitor) -> None:
    work = client.work
    if isinstance(work, Errand):
        work = work.work
    if isinstance(work, Flight):
        work.error_kind = "draining"
    client.hang_up()
