"""The admin port: an address of its own for `/admin`, `/metrics` and `/internal/v1/load`, served by the parent process.

It is the same HTTP server that clients meet, with the same limits and deadlines, and an app of its own behind it. A
worker has no part in it, so it answers while workers are busy, drain, or are replaced.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from gateway import clock
from gateway.admin.entry import admitted
from gateway.admin.port_app import Told, port_app
from gateway.control.configuration.certificates import CertificateWatch
from gateway.control.configuration.reload import POLL_S
from gateway.http.asgi import AsgiWork
from gateway.http.certificate import BadCertificate
from gateway.http.clients import Clients
from gateway.http.connection import ClientConnection
from gateway.http.listen import Listener, accepting, bind_tcp, certificate_of
from gateway.record_ids import RecordIds
from gateway.settings.sections.admin import place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines.model import Operation
    from gateway.errors import Failure
    from gateway.http.asgi import App
    from gateway.http.handler import Visitor, Work
    from gateway.http.head import Fields
    from gateway.http.request import Request
    from gateway.identity import Keyring
    from gateway.process.supervisor import Supervisor
    from gateway.settings import Admin

BODY_BYTES: Final = 1024 * 1024

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AdminLimits:
    """Satisfies `gateway.http.handler.RequestLimits`."""

    body_bytes: int = BODY_BYTES
    header_bytes: int = 64 * 1024
    stream_buffer_bytes: int = 1024 * 1024
    connections: int = 256


def admin_port(gateway: Told, supervisor: Supervisor) -> AdminPort | None:
    """That of the configuration in use, bound; None where it has none. Raises CannotListen."""
    section = gateway.settings.admin
    if section is None:
        return None

    def peers_key() -> bytes:
        peers = gateway.settings.peers
        return peers.key.get_secret_value().encode() if peers is not None else b""

    return AdminPort(section, port_app(gateway), lambda: gateway.keyring, peers_key, supervisor)


class AdminPort:
    """Satisfies `gateway.http.handler.Handler` and `gateway.http.handshakes.Seats`."""

    def __init__(
        self,
        section: Admin,
        app: App,
        keyring: Callable[[], Keyring],
        peers_key: Callable[[], bytes],
        supervisor: Supervisor,
    ) -> None:
        """Binds, and does not listen yet. Raises CannotListen."""
        self._section = section
        self._app = app
        self._keyring = keyring
        self._peers_key = peers_key
        self._supervisor = supervisor
        self._certificate = certificate_of(section.tls, "admin.tls")
        self.certificates = CertificateWatch(section.tls, self._renew)
        host, port = place_of(section.listen)
        (self._socket,) = bind_tcp(host, port, 1, named="admin.listen", other="admin.listen")
        self._listener: Listener | None = None
        self._clients = Clients()
        self._ids = RecordIds()
        self.limits = AdminLimits()
        self.draining = False

    @property
    def port(self) -> int:
        """The one that was taken."""
        bound: int = self._socket.getsockname()[1]
        return bound

    async def listen(self) -> None:
        """Serve from now on, and follow the certificate."""
        loop, spawn = asyncio.get_running_loop(), self._supervisor.spawn
        connect = lambda: ClientConnection(self, loop)  # noqa: E731 - a factory, as asyncio wants it
        self._listener = await accepting(self._socket, self._certificate, connect, self, spawn)
        if self._certificate is not None:
            self._supervisor.loop("admin_certificate", self.certificates.look, POLL_S, at_once=False)
        log.info("admin_listening", listen=self._section.listen, port=self.port)

    def close(self) -> None:
        """Serve no more, at once."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for client in list(self._clients):
            client.hang_up()
        self._socket.close()

    async def _renew(self) -> list[str]:
        assert self._certificate is not None
        try:
            await asyncio.to_thread(self._certificate.renew)
        except BadCertificate as error:
            return [str(error)]
        return []

    # -- gateway.http.handshakes.Seats ---------------------------------------------------------------------------------

    def arriving(self) -> bool:
        return self._clients.arriving(self.limits.connections)

    def arrived(self) -> None:
        self._clients.arrived()

    # -- gateway.http.handler.Handler ----------------------------------------------------------------------------------

    def opened(self, visitor: Visitor) -> bool:
        return self._clients.opened(visitor, self.limits.connections)

    def lingers(self, visitor: Visitor) -> bool:
        return self._clients.lingers(visitor)

    def lost(self, visitor: Visitor) -> None:
        self._clients.lost(visitor)

    def admit(self, request: Request, *, length: int, over_unix: bool) -> None:
        keyring = self._keyring()
        request.principal = admitted(
            request.path, request.fields, keyring, self._peers_key(), local=self._section.local
        )

    def still_admits(self, keyring: Keyring) -> bool:
        return False  # heads are judged each time: who may depends on the path

    def inference(self, request: Request, operation: Operation) -> Work | None:
        return self.other(request)  # which says that there is no such thing here

    def other(self, request: Request) -> Work | None:
        work = AsgiWork(
            self._app,
            request,
            request_id=self._ids.next(clock.monotonic()),
            secure=self._certificate is not None,
        )
        self._supervisor.spawn("asgi", work.run)
        return work

    def refused(self, failure: Failure, path: bytes, fields: Fields) -> tuple[bytes, bytes]:
        record_id = self._ids.next(clock.monotonic())
        log.warning(
            "admin_refused", path=path.decode("latin-1")[:200], error=failure.kind, reason=failure.message[:300]
        )
        return record_id, record_id
