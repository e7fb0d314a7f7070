"""`penstock serve`: the life of the process, with one worker inside it or several beside it.

SIGTERM and SIGINT drain: `/ready` turns false, nothing new is accepted, streams get their grace period, launched
engines are stopped, the log is written out. SIGHUP reloads the configuration and opens the log files anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from engines.errors import LaunchFailed
from gateway import clock
from gateway.control.configuration.source import Begun, Source
from gateway.control.plane import Plane
from gateway.http.listen import CannotListen, bind, remove_socket_file, server_certificate, url_of
from gateway.links.link import LocalLink
from gateway.process.side_ports import SidePorts
from gateway.process.stopping import Stopping, stop
from gateway.process.supervisor import Supervisor
from gateway.store.messages import Start
from gateway.store.writing.process import StoreProcess, StoreRefused
from gateway.workers.worker import Worker

if TYPE_CHECKING:
    from engines.port import Spawn
    from gateway.control.configuration.findings import Finding
    from gateway.settings import Settings

LOOK_S = 5.0
"""A replica that takes longer than two probes to refuse has that said in the log."""

SECOND: Final = (
    "another gateway uses this data_dir: both keep their records there, and where ramps are is kept by the other alone "
    "while it runs; give each gateway a data_dir of its own, unless this one takes the other's place"
)

log = structlog.get_logger()


class StartFailed(Exception):
    """The gateway cannot start; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What there is to tell once requests are accepted."""

    url: str
    settings: Settings
    findings: Sequence[Finding]
    """How each replica was found, as far as that took no longer than `LOOK_S`."""
    notices: Sequence[str] = ()
    """What is left out of the configuration, or odd about it."""


async def serve(source: Source, begun: Begun, *, started: Callable[[Opened], None], wait_for_engines: bool) -> None:
    """Run until a signal. `started` is told, in a thread, once requests are accepted and the engines have been looked
    at. `begun` is what `source` said.

    Raises:
        ConfigError: the configuration cannot be used.
        StartFailed: an address is taken, or a launched engine does not come up.
    """
    supervisor = Supervisor()
    configured = begun.loaded.settings
    workers = configured.server.workers
    store = store_process(configured, supervisor)
    plane = Plane(source, supervisor, workers=workers, begun=begun, store=store)
    settings = plane.settings
    stopping = Stopping()
    loop = asyncio.get_running_loop()
    stopping.listen(loop)
    loop.add_signal_handler(signal.SIGHUP, Hangups(plane.reload, supervisor.spawn))
    try:
        # Several workers make their own, but what is wrong with it is said here.
        certificate = server_certificate(settings.server)
        ports = SidePorts(plane, supervisor)
        sockets = bind(settings.server, workers)
    except CannotListen as error:
        raise StartFailed(str(error)) from None
    try:
        if store is not None:
            if not store.lock.take():
                log.warning("data_dir_shared", data_dir=settings.data_dir, process=store.lock.holder, what=SECOND)
            await store.start()
            plane.seed(await store.spent(clock.wall()))
        if workers == 1:
            worker = Worker(supervisor)
            worker.join(LocalLink(plane.peer("0"), supervisor.spawn))
            problem = await plane.attach("0", LocalLink(worker.peer, supervisor.spawn))
            if problem:
                raise StartFailed(problem)
            await plane.start()
            if wait_for_engines:
                await _engines(plane, stopping.asked)
            await worker.listen(sockets, certificate)
        else:
            from gateway.workers.processes import WorkerProcesses

            await WorkerProcesses(plane, sockets, supervisor, workers).start()
            await plane.start()
            if wait_for_engines:
                await _engines(plane, stopping.asked)
        await ports.listen()
        settle_memory()
        await _looked(plane, stopping.asked)
        if not stopping.asked.is_set():
            opened = Opened(url_of(sockets[0], settings.server), settings, *await plane.findings())
            await asyncio.to_thread(started, opened)
        await stopping.asked.wait()
        log.info("draining", grace_s=plane.settings.server.grace_s, sooner="Ctrl-C once more")
        if workers > 1:
            for sock in sockets:
                sock.close()  # ours of the pair: new connections are refused once the workers have closed theirs
        await stop(plane, stopping)
    except StoreRefused as error:
        raise StartFailed(str(error)) from None
    finally:
        await ports.close()
        if store is not None:
            await store.stop()
        await supervisor.close()
        for sock in sockets:
            sock.close()
        if settings.server.uds is not None:
            remove_socket_file(settings.server.uds)


def store_process(settings: Settings, supervisor: Supervisor) -> StoreProcess | None:
    """The writer of records, which is not started yet; None where none are kept. Raises StartFailed."""
    section, telemetry = settings.store, settings.telemetry
    if not section.on:
        return None
    url = section.url.get_secret_value() if section.url is not None else ""
    start = Start(
        url,
        settings.data_dir,
        section.retention_days,
        telemetry.log_level,
        telemetry.log_format,
        section.content_retention_days,
    )
    try:
        return StoreProcess(start, supervisor)
    except OSError as error:
        raise StartFailed(f"data_dir: {settings.data_dir} cannot be written: {error.strerror or error}") from None


def settle_memory() -> None:
    """Tell the garbage collector what to expect: the start-up's objects never die, and requests leave no cycles.

    Reference counts free what a request used; with the default threshold of 700 the collector would still look for
    cycles every few dozen requests, 6 % of all CPU and a millisecond at a time (measured). What it does look through
    must not hold the streams: 2,000 objects take 0.4 ms, and what two such passes have left is looked through in 1.2.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 2, 400)


class Hangups:
    """Reloads at SIGHUP. However many come while one runs, one more reads what all of them mean."""

    def __init__(self, reload: Callable[[], Awaitable[bool]], spawn: Spawn) -> None:
        self._reload = reload
        self._spawn = spawn
        self._asked = False
        self._running = False

    def __call__(self) -> None:
        self._asked = True
        if not self._running:
            self._running = True
            self._spawn("reload", self._answer)

    async def _answer(self) -> None:
        try:
            while self._asked:
                self._asked = False
                await self._reload()
        finally:
            self._running = False


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


async def _looked(plane: Plane, stopping: asyncio.Event) -> None:
    """Wait for the first look at all engines, which serve meanwhile: for a moment, or for the signal to give up."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (plane.asking.looked, stopping)]
    try:
        await asyncio.wait(waiting, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


def take_descriptors() -> None:
    """Lift the soft limit on descriptors to the hard one, for us and all we start.

    A relayed stream takes two, and a shell's usual 1,024 would end at 500 of them, far below `limits.connections`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS calls its hard limit unlimited and takes no such number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(
    source: Source,
    *,
    started: Callable[[Opened], None],
    begun: Begun | None = None,
    wait_for_engines: bool = False,
) -> None:
    """Run `serve` on uvloop. `begun` is what `source` said, if it was read already. Raises ConfigError where not."""
    from gateway.process.event_loop import new_event_loop

    take_descriptors()
    begun = begun or source.begin()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(source, begun, started=started, wait_for_engines=wait_for_engines))
