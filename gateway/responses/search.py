"""A request that names a response of which this worker knows nothing: it waits until the others have been asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engines.model import Operation
    from engines.port import Spawn
    from gateway.http.handler import Work
    from gateway.http.request import Request
    from gateway.responses.homes import Home
    from gateway.responses.keeper import Keeper


class Looked:
    """What came of the search: `home` is None where nobody knows."""

    __slots__ = ("home", "received_s")

    def __init__(self, home: Home | None, received_s: float) -> None:
        self.home = home
        self.received_s = received_s


class Begins(Protocol):
    """Who goes on with the request: `gateway.dispatch.Dispatcher`."""

    def begin(self, request: Request, operation: Operation, looked: Looked | None = None) -> Work | None: ...


class Search:
    """The work of a connection until the request's own begins, whose stand-in it is from then on."""

    def __init__(
        self, door: Begins, request: Request, operation: Operation, response_id: str, received_s: float
    ) -> None:
        self.work: Work | None = None
        """The request's own."""
        self._door = door
        self._request = request
        self._operation = operation
        self._response_id = response_id
        self._received_s = received_s
        self._gone = False
        self._paused = False

    def begin(self, keeper: Keeper, spawn: Spawn) -> None:
        """Ask, and go on with what is answered."""

        async def search() -> None:
            looked = Looked(await keeper.ask(self._response_id), self._received_s)
            if self._gone:
                return
            self.work = self._door.begin(self._request, self._operation, looked)
            if self._paused and self.work is not None:
                self.work.client_paused()

        spawn("response_home", search)

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
