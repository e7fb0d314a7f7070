"""`penstock serve`: the life of the process, with one worker inside it or several beside it.

SIGTERM and SIGINT drain: `/ready` turns false, nothing new is accepted, streams get their grace period, launched
engines are stopped, the log is written out. SIGHUP reloads the configuration and opens the log files anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import pathlib
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from engines.errors import LaunchFailed
from gateway.control.plane import Plane
from gateway.control.source import Source
from gateway.supervisor import Supervisor
from gateway.workers.link import LocalLink
from gateway.workers.worker import Worker

if TYPE_CHECKING:
    from gateway.settings import Settings

log = structlog.get_logger()


class StartFailed(Exception):
    """The gateway cannot start; the message is for the operator."""


async def serve(source: Source, *, started: Callable[[str, Settings], None], wait_for_engines: bool) -> None:
    """Run until a signal. `started` is told the URL once requests are accepted.

    Raises:
        ConfigError: the configuration cannot be used.
        StartFailed: an address is taken, or a launched engine does not come up.
    """
    supervisor = Supervisor()
    _, loaded = source.load()
    workers = loaded.settings.server.workers
    plane = Plane(source, supervisor, workers=workers)
    settings = plane.settings
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: supervisor.spawn("reload", lambda: _reload(plane)))
    sockets = bind(settings, workers)
    try:
        if workers == 1:
            worker = Worker(supervisor)
            worker.join(LocalLink(plane.peer("0"), supervisor.spawn))
            problem = await plane.attach("0", LocalLink(worker, supervisor.spawn))
            if problem:
                raise StartFailed(problem)
            await plane.start()
            if wait_for_engines:
                await _engines(plane, stopping)
            await worker.listen(sockets, server_tls(settings))
        else:
            from gateway.workers.processes import WorkerProcesses

            server_tls(settings)  # each worker makes its own; what is wrong with it is said here
            await WorkerProcesses(plane, sockets, supervisor, workers).start()
            await plane.start()
            if wait_for_engines:
                await _engines(plane, stopping)
        settle_memory()
        if not stopping.is_set():
            started(url_of(sockets[0], settings), settings)
        await stopping.wait()
        log.info("draining", grace_s=plane.settings.server.grace_s)
        if workers > 1:
            for sock in sockets:
                sock.close()  # ours of the pair: new connections are refused once the workers have closed theirs
        await plane.stop()
    finally:
        await supervisor.close()
        for sock in sockets:
            sock.close()
        if settings.server.uds is not None:
            _remove(settings.server.uds)


def settle_memory() -> None:
    """Tell the garbage collector what to expect: the start-up's objects never die, and requests leave no cycles.

    Reference counts free what a request used; with the default threshold of 700 the collector would still look for
    cycles every few dozen requests, 6 % of all CPU and a millisecond at a time (measured).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _reload(plane: Plane) -> None:
    await plane.reload()


async def _engines(plane: Plane, stopping: asyncio.Event) -> None:
    """Wait for launched engines, or for the signal to give up."""
    ready = asyncio.ensure_future(plane.engines_started())
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({ready, stop}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            ready.result()
    except LaunchFailed as error:
        await plane.stop(0.0)
        raise StartFailed(str(error)) from None
    finally:
        ready.cancel()
        stop.cancel()


def bind(settings: Settings, workers: int) -> list[socket.socket]:
    """One listening socket per worker on the same address; the kernel spreads connections over them (SO_REUSEPORT).

    The parent keeps them, so a worker that is replaced loses no connection that waits in its queue.
    """
    server = settings.server
    if server.uds is not None:
        return [_bind_unix(server.uds)]
    try:
        family, _, _, _, address = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartFailed(f"server.host {server.host!r}: {(error.strerror or str(error)).lower()}") from None
    sockets: list[socket.socket] = []
    try:
        if workers > 1:
            # Sockets that share an address take any other that shares it, another gateway's too; a plain one does not.
            _bind_tcp(family, address, shared=False).close()
        for _ in range(workers):
            sockets.append(_bind_tcp(family, address, shared=workers > 1))
            address = sockets[0].getsockname()
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise StartFailed(
            f"cannot listen on {server.host}:{server.port}: {(error.strerror or str(error)).lower()}; "
            "stop what listens there, or choose another with --port"
        ) from None
    return sockets


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
    sock.set_inheritable(True)
    return sock


def _bind_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A socket file that nobody answers on is left over from a process that was killed.
        sock.connect(path)
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        _remove(path)
    except OSError as error:
        raise StartFailed(f"cannot listen on {path}: {(error.strerror or str(error)).lower()}") from None
    else:
        raise StartFailed(f"cannot listen on {path}: another process answers there")
    finally:
        sock.close()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError as error:
        raise StartFailed(f"cannot listen on {path}: {(error.strerror or str(error)).lower()}") from None
    sock.setblocking(False)
    sock.set_inheritable(True)
    return sock


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        pathlib.Path(path).unlink()


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """The certificate we show, if any. Raises StartFailed."""
    tls = settings.server.tls
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise StartFailed(f"server.tls: the certificate or key cannot be used: {error}") from None
    return context


def url_of(sock: socket.socket, settings: Settings) -> str:
    """Where clients find us, with the port really bound."""
    if settings.server.uds is not None:
        return f"unix:{settings.server.uds}"
    host = settings.server.host
    port = sock.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{'https' if settings.server.tls else 'http'}://{shown}:{port}"


def take_descriptors() -> None:
    """Lift the soft limit on descriptors to the hard one, for us and all we start.

    A relayed stream takes two, and a shell's usual 1,024 would end at 500 of them, far below `limits.connections`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS calls its hard limit unlimited and takes no such number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(source: Source, *, started: Callable[[str, Settings], None], wait_for_engines: bool = False) -> None:
    """Run `serve` on uvloop."""
    import uvloop

    take_descriptors()
    if sys.version_info >= (3, 12):
        asyncio.run(
            serve(source, started=started, wait_for_engines=wait_for_engines), loop_factory=uvloop.new_event_loop
        )
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(source, started=started, wait_for_engines=wait_for_engines))
