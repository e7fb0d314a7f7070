"""Several workers: one process each, on a listening socket of its own, joined to us by a socket pair.

A worker that dies is replaced on the same socket: at once, or after a back-off that grows while its successors die as
they start; until one listens, the others accept the connections in its queue (`seats`). A worker whose parent dies sees
its link close and drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway.links.link import Link, Peer, PipeLink
from gateway.process.own_group import OWN_GROUP
from gateway.workers.exchange.messages import Cover, ToPlane, ToWorker

if TYPE_CHECKING:
    from gateway.process.supervisor import Supervisor

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
STABLE_S = 10.0
"""One that has listened for so long was no failure to start, and its seat is filled again at once: what kills workers
again and again (memory, say) must not also keep their seats empty."""
ORPHAN_S = 40.0
"""Longer than a worker drains whose link is gone."""
EXIT_S = 5.0
"""How long a worker that has been told to end may take after its link has closed; SIGTERM means nothing to it."""
BACKLOG = 4096
COMMAND = (sys.executable, "-P", "-m", "gateway.workers")

log = structlog.get_logger()


class WorkerFailed(ValueError):
    """A worker could not start; the message is for the operator."""


class Backoff:
    """How long one seat waits for its next worker."""

    def __init__(self, first_s: float = FIRST_BACKOFF_S, most_s: float = MAX_BACKOFF_S) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._failures = 0

    def next_s(self, listened_s: float) -> float:
        """After a worker that listened for so long; 0 for one that never did."""
        self._failures = 0 if listened_s >= STABLE_S else self._failures + 1
        return min(self._most_s, self._first_s * 2.0 ** min(self._failures - 1, 16)) if self._failures else 0.0


class Joinable(Protocol):
    """What workers join: `gateway.control.plane.Plane`."""

    @property
    def stopping(self) -> bool:
        """Whether workers that end are meant to."""

    def peer(self, worker: str, lost: Callable[[], None]) -> Peer[ToPlane, ToWorker]:
        """What acts on the messages of one worker; `lost` is called when its link ends."""

    async def attach(self, worker: str, link: Link[ToWorker], pid: int | None = None) -> str | None:
        """A worker is there; returns why it cannot use its configuration, an empty string, or None when it left."""

    def detach(self, worker: str) -> None:
        """A worker is gone."""


class WorkerProcesses:
    """The worker processes of one gateway."""

    def __init__(
        self,
        plane: Joinable,
        sockets: Sequence[socket.socket],
        supervisor: Supervisor,
        workers: int,
        *,
        command: Sequence[str] = COMMAND,
        backoff: Callable[[], Backoff] = Backoff,
        orphan_s: float = ORPHAN_S,
        exit_s: float = EXIT_S,
    ) -> None:
        """`workers` share one socket, or have one each. Each seat waits as a `backoff` of its own says.

        `orphan_s` is what one may take to end without its link, and `exit_s` what one may that has been told to.
        """
        self._workers = workers
        self._command = command
        self._backoff = backoff
        self._orphan_s = orphan_s
        self._exit_s = exit_s
        self._plane = plane
        self._sockets = sockets
        self._supervisor = supervisor
        self._numbers = itertools.count()
        self._stopping = False
        self._there: dict[int, Link[ToWorker]] = {}
        """The workers that listen, by seat."""
        self._listens_since_s: dict[int, float] = {}

    async def start(self) -> None:
        """Start one worker per socket and wait until each has its configuration. Raises WorkerFailed."""
        for sock in self._sockets:
            sock.listen(BACKLOG)  # from now on connections wait, whether or not their worker is there yet
        seats = range(self._workers)
        firsts: list[asyncio.Future[str]] = [asyncio.get_running_loop().create_future() for _ in seats]
        for seat, first in zip(seats, firsts, strict=True):
            self._supervisor.spawn(f"worker {seat}", functools.partial(self._keep, seat, first))
        for problem in await asyncio.gather(*firsts):
            if problem:
                self._stopping = True
                raise WorkerFailed(problem)

    async def _keep(self, seat: int, first: asyncio.Future[str]) -> None:
        """Run the worker of one seat, again and again, until the gateway stops."""
        loop = asyncio.get_running_loop()
        backoff = self._backoff()
        while not self._stopping:
            name = f"{seat}.{next(self._numbers)}"
            try:
                code = await self._run(seat, name, first)
            except Exception as error:  # no memory, no descriptors, no log: as good as a worker that died at once
                code = None
                if not first.done():
                    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
                    first.set_result(f"a worker could not be started: {why.lower()}")
            if self._plane.stopping:
                return
            now_s = loop.time()
            wait_s = backoff.next_s(now_s - self._listens_since_s.pop(seat, now_s))
            with contextlib.suppress(Exception):  # a log that fails must not leave the seat empty
                log.error("worker_died", seat=seat, code=code, again_in_s=wait_s)
            await asyncio.sleep(wait_s)
            if self._plane.stopping:
                return

    async def _run(self, seat: int, name: str, first: asyncio.Future[str]) -> int:
        """One worker process from its start to its end; returns its exit code."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        listening = [sock.fileno() for sock in self._sockets]
        lost = asyncio.Event()
        process = None
        joined = False
        try:
            starting = asyncio.ensure_future(
                asyncio.create_subprocess_exec(
                    *self._command,
                    *map(str, (theirs.fileno(), self._workers, seat % len(listening), *listening)),
                    pass_fds=(theirs.fileno(), *listening),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=dict(os.environ),
                    preexec_fn=OWN_GROUP,
                )
            )
            try:
                process = await asyncio.shield(starting)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    process = await starting  # it may run already, and nobody else would wait for its end
                raise
            theirs.close()
            peer = self._plane.peer(name, lost.set)
            link: PipeLink[ToWorker] = PipeLink(ToPlane, peer, self._supervisor.spawn)
            await loop.create_connection(lambda: link, sock=ours)
            joined = True
            try:
                answered = asyncio.ensure_future(self._plane.attach(name, link, process.pid))
                ended = asyncio.ensure_future(process.wait())
                await asyncio.wait({answered, ended}, return_when=asyncio.FIRST_COMPLETED)
                problem = answered.result() if answered.done() else None
                answered.cancel()
                if problem is None:
                    problem = "a worker ended while it started"
                if not first.done():
                    first.set_result(problem)
                elif problem and not ended.done():
                    # It would never listen, and the connections in its queue would wait for ever.
                    log.error("worker_refused", seat=seat, why=problem)
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                if not problem:
                    self._taken(seat, link)
                gone = asyncio.ensure_future(lost.wait())
                await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                self._left(seat)
                # One whose link is gone drains and ends; one that hangs would hold its seat for ever.
                if not (await asyncio.wait({ended}, timeout=self._orphan_s))[0]:
                    log.error("worker_hangs", seat=seat)
                    process.kill()
                return await ended
            finally:
                self._plane.detach(name)
                link.close()
        finally:
            theirs.close()
            if not joined:
                ours.close()  # and with it, should it run, the worker's link
            if process is not None and process.returncode is None:
                await _gone(process, self._exit_s)

    def _taken(self, seat: int, link: Link[ToWorker]) -> None:
        """A worker listens: the others need not accept for it, and it accepts for those that are not there."""
        self._tell(Cover(seat, on=False))
        self._there[seat] = link
        self._listens_since_s[seat] = asyncio.get_running_loop().time()
        for empty in range(len(self._sockets)):
            if empty not in self._there:
                link.tell(Cover(empty, on=True))

    def _left(self, seat: int) -> None:
        if self._there.pop(seat, None) is not None and not self._plane.stopping:
            self._tell(Cover(seat, on=True))

    def _tell(self, message: Cover) -> None:
        if len(self._sockets) > 1:  # one socket is shared by all anyhow
            for link in self._there.values():
                link.tell(message)


async def _gone(process: asyncio.subprocess.Process, exit_s: float) -> None:
    """Wait for a worker that is about to end; one that hangs is killed, or it would hang the gateway's own end."""
    try:
        async with asyncio.timeout(exit_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
