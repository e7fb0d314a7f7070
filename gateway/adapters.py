"""LoRA adapters as one worker sees them: who holds one, and the request that waits until somebody does.

A request for an adapter that no replica holds, and that may be loaded on demand, begins once the control plane has had
one load it (`gateway.control.asking.adapters`). Where those that hold it are late and another replica is not, that one
is to load it too, and nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from gateway import clock
from gateway.errand import Errand, Looked
from gateway.errors import Failure
from routing.choosing.adapters import Adapter, AdapterBook

if TYPE_CHECKING:
    from engines.model import Deadlines, Operation
    from engines.port import Spawn
    from gateway.body.held import HeldPrompts
    from gateway.errand import Begins
    from gateway.http.request import Request
    from gateway.workers.exchange.messages import AdaptersHeld
    from routing.route import ModelRoute

TELLS_S: Final = 1.0
"""How often it is told which adapters are used, and how often a crowded one is looked for."""
MOST_WAITING: Final = 1024
"""Requests that wait for an adapter; the bytes of their bodies are bounded too (`gateway.body.held`)."""
FULL: Final = "too many requests wait for adapters already"

NOT_LOADED: Final = "adapter_not_loaded"
AGAIN_S: Final = 5.0
"""As long as nobody tries again to load an adapter that could not be loaded."""


class Plane(Protocol):
    """The control plane: `gateway.workers.exchange.others.Others`."""

    def used(self, adapters: list[Adapter]) -> None:
        """Tell it of adapters that requests have come for."""

    def loaded(self, adapter: Adapter, more: bool, within_s: float = float("inf")) -> Awaitable[str]:
        """Have it loaded by a replica, or by one more; why it is not `within_s`, or an empty string."""


class Adapters:
    """See the module."""

    def __init__(
        self, book: Callable[[], AdapterBook], plane: Plane, spawn: Spawn, held: Callable[[], HeldPrompts]
    ) -> None:
        """`held` counts the bodies of those that wait."""
        self._book = book
        self._held = held
        self._plane = plane
        self._spawn = spawn
        self._timer: asyncio.TimerHandle | None = None
        self._next_look_s = 0.0
        self._waiting = 0

    def told(self, message: AdaptersHeld) -> None:
        """The control plane knows something new of who holds what."""
        book = self._book()
        for one in message.replicas:
            book.told(one.engine, one.replica, one.adapters)

    def wanted(self, route: ModelRoute, operation: str, now: float) -> Adapter | None:
        """What has to be loaded before a request of this route can begin; None where it can."""
        if route.held is None:
            return None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TELLS_S, self._tell)
        speakers = route.speakers[operation]
        adapter = route.held.missing(speakers, now)
        if adapter is None and now >= self._next_look_s:
            self._next_look_s = now + TELLS_S
            more = route.held.crowded(speakers, now)
            if more is not None:
                self._spawn("adapter", lambda: self._load_more(more))
        return adapter

    def wait(
        self,
        door: Begins,
        request: Request,
        operation: Operation,
        adapter: Adapter,
        looked: Looked | None,
        received_s: float,
        deadlines: Deadlines | None,
    ) -> Errand:
        """The work of a request that waits for an adapter, no longer than its client does by its `deadlines`."""
        errand = Errand(door, request, operation)
        home = None if looked is None else looked.home
        searched = looked is not None and looked.searched

        within_s = float("inf")
        if deadlines is not None:
            total_s = float("inf") if deadlines.total_s is None else deadlines.total_s
            within_s = max(0.0, received_s + min(total_s, deadlines.first_byte_s) - clock.monotonic())

        async def ask() -> Looked:
            problem, held, size = FULL, self._held(), len(request.body)
            if self._waiting < MOST_WAITING and held.hold(size):
                self._waiting += 1
                try:
                    problem = await self._plane.loaded(adapter, False, within_s)
                finally:
                    self._waiting -= 1
                    held.release(size)
            return Looked(home, received_s, searched=searched, adapter=True, problem=problem)

        errand.run("adapter", ask, self._spawn)
        return errand

    def check(self, model: str, route: ModelRoute, operation: str, problem: str) -> None:
        """An adapter could not be loaded, for this reason. Raises Failure where nobody else is there to answer."""
        now = clock.monotonic()
        if self.wanted(route, operation, now) is None:
            return  # somebody has loaded it by now
        for pool in route.speakers[operation].pools:
            for endpoint in pool:
                if (endpoint.engine, endpoint.model) not in route.loads and endpoint.state.available(now):
                    return
        message = f"the adapter of model {model!r} is not loaded: {problem}"
        raise Failure(NOT_LOADED, message, retry_after_s=AGAIN_S)

    async def _load_more(self, adapter: Adapter) -> None:
        await self._plane.loaded(adapter, True)

    def _tell(self) -> None:
        """Adapters are used when a request is sent for them, which may be later than it came: look until none is."""
        self._timer = None
        used = self._book().used
        if used:
            self._plane.used(sorted(used))
            used.clear()
            self._timer = asyncio.get_running_loop().call_later(TELLS_S, self._tell)
