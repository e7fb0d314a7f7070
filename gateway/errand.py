"""A request that cannot begin yet: something is asked first, of the control plane, and it begins with the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import structlog

from engines.wire import DIALECTS
from gateway.errors import Failure
from gateway.reply import JSON

if TYPE_CHECKING:
    from engines.model import Operation
    from engines.port import Spawn
    from gateway.http.handler import Work
    from gateway.http.request import Request
    from gateway.responses.homes import Home


log = structlog.get_logger()


class Looked:
    """What is known by now."""

    __slots__ = ("adapter", "home", "problem", "received_s", "searched")

    def __init__(
        self,
        home: Home | None,
        received_s: float,
        *,
        searched: bool = True,
        adapter: bool = False,
        problem: str = "",
    ) -> None:
        self.home = home
        """Where the response is that the request names; None where nobody knows."""
        self.received_s = received_s
        self.searched = searched
        """Whether it was asked for."""
        self.adapter = adapter
        """Whether the adapter that the request wants was."""
        self.problem = problem
        """Why that is not loaded; empty when it is."""


class Begins(Protocol):
    """Who goes on with the request: `gateway.dispatch.Dispatcher`."""

    def begin(self, request: Request, operation: Operation, looked: Looked | None = None) -> Work | None: ...


class Errand:
    """The work of a connection until the request's own begins, whose stand-in it is from then on."""

    def __init__(self, door: Begins, request: Request, operation: Operation) -> None:
        self.work: Work | None = None
        """The request's own."""
        self._door = door
        self._request = request
        self._operation = operation
        self._gone = False
        self._paused = False

    def run(self, name: str, ask: Callable[[], Awaitable[Looked]], spawn: Spawn) -> None:
        """Ask, and go on with what is answered."""

        async def asking() -> None:
            try:
                looked = await ask()
                if self._gone:
                    return
                self.work = self._door.begin(self._request, self._operation, looked)
            except Exception:
                log.exception("errand_mistaken")
                self._fail()
                return
            if self._paused and self.work is not None:
                self.work.client_paused()

        spawn(name, asking)

    def _fail(self) -> None:
        """Nobody else would tell its client."""
        failure = Failure("internal", "the gateway made a mistake with this request")
        body = failure.body(DIALECTS[self._operation], "")
        self._request.connection.respond(failure.status, JSON + failure.headers(), body)

    def client_gone(self) -> None:
        self._gone = True
        if self.work is not None:
            self.work.client_gone()

    def client_paused(self) -> None:
        self._paused = True
        if self.work is not None:
            self.work.client_paused()

    def client_resumed(self) -> None:
        self._paused = False
        if self.work is not None:
            self.work.client_resumed()
