"""Where clients reach us: the listening sockets, the certificate we show, and the URL to tell.

A socket is bound here and listens when its worker does; the parent keeps it, so a worker that is replaced loses no
connection that waits in its queue; the other workers accept those meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.http.certificate import BadCertificate, Certificate
from gateway.http.handshakes import Seats, TlsListener

if TYPE_CHECKING:
    from engines.port import Spawn
    from gateway.settings.sections.server import Server, Tls


Listener = asyncio.Server | TlsListener
BACKLOG = 4096
STARTED_BY = "PENSTOCK_STARTED_BY"
"""How our Makefile names itself: `make serve`. Anybody's own has other words for the port."""


def _other_port() -> str:
    """How whoever started us asks for another port."""
    started_by = os.environ.get(STARTED_BY)
    return f"{started_by} PORT=8081" if started_by else "--port"


class CannotListen(Exception):
    """The address or the certificate cannot be used; the message is for the operator."""


def bind(server: Server, workers: int) -> list[socket.socket]:
    """One listening socket per worker on the same address; the kernel spreads connections over them (SO_REUSEPORT).

    Raises CannotListen.
    """
    if server.uds is not None:
        return [_bind_unix(server.uds)]
    return bind_tcp(server.host, server.port, workers, named="server.host", other=_other_port())


def bind_tcp(host: str, port: int, count: int, *, named: str, other: str) -> list[socket.socket]:
    """So many sockets on one address. `named` is what sets the host, `other` what sets another port.

    Raises CannotListen.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise CannotListen(f"{named} {host!r}: {(error.strerror or str(error)).lower()}") from None
    sockets: list[socket.socket] = []
    try:
        if count > 1:
            # Sockets that share an address take any other that shares it, another gateway's too; a plain one does not.
            _bind_tcp(family, address, shared=False).close()
        for _ in range(count):
            sockets.append(_bind_tcp(family, address, shared=count > 1))
            address = sockets[0].getsockname()
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise CannotListen(
            f"cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}; "
            f"stop what listens there, or choose another with {other}"
        ) from None
    return sockets


async def accepting(
    sock: socket.socket,
    certificate: Certificate | None,
    connect: Callable[[], asyncio.Protocol],
    seats: Seats,
    spawn: Spawn,
) -> Listener:
    """Accept connections on a bound socket, over TLS with a certificate. Raises OSError.

    `connect` makes the protocol of each connection; `seats` counts handshakes.
    """
    if certificate is not None:
        return TlsListener(sock, certificate.context, connect, seats, spawn)
    return await asyncio.get_running_loop().create_server(connect, sock=sock, backlog=BACKLOG)


def _bind_tcp(family: int, address: Any, *, shared: bool) -> socket.socket:
    """A bound socket that does not listen yet. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _bind_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A socket file that nobody answers on is left over from a process that was killed.
        sock.connect(path)
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        remove_socket_file(path)
    except OSError as error:
        raise CannotListen(f"cannot listen on {path}: {(error.strerror or str(error)).lower()}") from None
    else:
        raise CannotListen(f"cannot listen on {path}: another process answers there")
    finally:
        sock.close()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError as error:
        raise CannotListen(f"cannot listen on {path}: {(error.strerror or str(error)).lower()}") from None
    sock.setblocking(False)
    return sock


def remove_socket_file(path: str) -> None:
    """Remove what a unix socket leaves in the file system."""
    with contextlib.suppress(OSError):
        pathlib.Path(path).unlink()


def server_certificate(server: Server) -> Certificate | None:
    """The certificate we show, if any. Raises CannotListen."""
    return certificate_of(server.tls, "server.tls")


def certificate_of(tls: Tls | None, named: str) -> Certificate | None:
    """The certificate of this section, if any. Raises CannotListen."""
    if tls is None:
        return None
    try:
        return Certificate(tls.cert, tls.key, named)
    except BadCertificate as error:
        raise CannotListen(str(error)) from None


def url_of(sock: socket.socket, server: Server) -> str:
    """Where clients find us, with the port really bound."""
    if server.uds is not None:
        return f"unix:{server.uds}"
    return f"{'https' if server.tls else 'http'}://{reached_at(server.host)}:{sock.getsockname()[1]}"


def reached_at(host: str) -> str:
    """A host that is listened on, as a URL of this machine has it."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
