"""What the connections of a worker hand their requests to: the one step between the server and the data path.

Every request passes here twice, so what it meets is at hand; what changes a worker is in `gateway.workers.worker`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import clock
from gateway.errors import Failure
from gateway.http import visit
from gateway.http.asgi import AsgiWork
from gateway.http.clients import Clients
from gateway.http.cors import Cors, CorsClient, options
from gateway.http.detours import detour
from gateway.http.handler import Handler
from gateway.workers.detouring import taken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engines.model import Operation
    from engines.port import Spawn
    from gateway.accounts.accounting import Accounting
    from gateway.dispatch import Dispatcher
    from gateway.http.asgi import App
    from gateway.http.handler import RequestLimits, Visitor, Work
    from gateway.http.head import Fields
    from gateway.http.request import Request
    from gateway.identity import Keyring
    from gateway.workers.exchange.demand import EngineStart


class Reception(Handler):
    """Lets clients in, and their requests on to the dispatcher or to the app that answers all other paths."""

    __slots__ = ("_accounting", "_app", "_spawn", "clients", "cors", "dispatcher", "draining", "empty", "secure")

    def __init__(self, app: App, accounting: Accounting, spawn: Spawn) -> None:
        self._app = app
        self._accounting = accounting
        self._spawn = spawn
        self.clients = Clients()
        self.dispatcher: Dispatcher | None = None
        """None until a configuration is in use; nobody is let in before."""
        self.draining = False
        self.cors: Cors | None = None
        """None where no page of another origin may ask."""
        self.secure = False
        """Whether clients come over TLS."""
        self.empty = asyncio.Event()
        """Set when the last client has left."""

    @property
    def configured(self) -> Dispatcher:
        """The dispatcher; there must be one."""
        dispatcher = self.dispatcher
        assert dispatcher is not None, "no configuration is in use"
        return dispatcher

    def starts(self, failed: Iterable[EngineStart]) -> None:
        """The start of these engines has failed: whoever waits for nothing else is told."""
        if self.dispatcher is not None:
            for start in failed:
                self.dispatcher.room.start_failed(start.engine, clock.monotonic())

    def queued_tokens(self) -> Iterable[tuple[tuple[str], float]]:
        """What waits for room, by model."""
        return () if self.dispatcher is None else self.dispatcher.queued_tokens()

    # -- gateway.http.handshakes.Seats ---------------------------------------------------------------------------------

    def arriving(self) -> bool:
        """A client begins a TLS handshake; False when there is no room for it."""
        return self.clients.arriving(self.limits.connections)

    def arrived(self) -> None:
        """A TLS handshake is over."""
        self.clients.arrived()

    # -- gateway.http.handler.Handler ----------------------------------------------------------------------------------

    @property
    def limits(self) -> RequestLimits:
        return self.configured.snapshot.limits

    def opened(self, visitor: Visitor) -> bool:
        return self.clients.opened(visitor, self.limits.connections)

    def lingers(self, visitor: Visitor) -> bool:
        allowed = self.clients.lingers(visitor)
        if not self.clients:
            self.empty.set()
        return allowed

    def lost(self, visitor: Visitor) -> None:
        self.clients.lost(visitor)
        if not self.clients:
            self.empty.set()

    @property
    def keyring(self) -> Keyring:
        """The keys in use."""
        return self.configured.snapshot.keyring

    def admit(self, request: Request, *, length: int, over_unix: bool) -> None:
        cors = self.cors
        covered = cors is not None and cors.covers(request.path, request.fields)  # nothing else is another page's
        lines = cors.lines(request.fields) if cors is not None and covered else b""
        if lines:
            request.connection = CorsClient(request.connection, lines)
        keyring = self.configured.snapshot.keyring
        visit.admit(request, keyring, length=length, over_unix=over_unix, cors=cors, covered=covered)

    def still_admits(self, keyring: Keyring) -> bool:
        dispatcher = self.dispatcher
        return dispatcher is not None and dispatcher.snapshot.keyring is keyring

    def inference(self, request: Request, operation: Operation) -> Work | None:
        return self.configured.begin(request, operation)

    def other(self, request: Request) -> Work | None:
        if request.method == b"OPTIONS":
            options(request)
            return None
        way = detour(request.path)
        if way is not None:
            return taken(request, way, self)
        dispatcher = self.configured
        request_id = dispatcher.id_of(request.fields, dispatcher.ids.next(clock.monotonic()))
        work = AsgiWork(self._app, request, request_id=request_id, secure=self.secure)
        self._spawn("asgi", work.run)
        return work

    def refused(self, failure: Failure, path: bytes, fields: Fields) -> tuple[bytes, bytes]:
        dispatcher = self.configured
        record_id = dispatcher.ids.next(clock.monotonic())
        request_id = dispatcher.id_of(fields, record_id)
        self._accounting.turned_away(failure, path, request_id, record_id)
        if self.cors is not None:
            failure.more += self.cors.lines_of(path, fields)  # or the page could not read why
        return request_id, record_id
