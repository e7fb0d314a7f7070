"""Several workers: one process each, on a listening socket of its own, joined to us by a socket pair.

A worker that dies is replaced on the same socket (the connections in its queue wait), after a back-off that grows
while it keeps dying. A worker whose parent dies sees its link close and drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from gateway.workers.link import PipeLink
from gateway.workers.messages import ToPlane, ToWorker

if TYPE_CHECKING:
    from gateway.control.plane import Plane
    from gateway.supervisor import Supervisor

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
STABLE_S = 60.0
EXIT_S = 5.0
"""How long a worker that has been told to end may take after its link has closed; SIGTERM means nothing to it."""
BACKLOG = 4096

log = structlog.get_logger()


class WorkerFailed(ValueError):
    """A worker could not start; the message is for the operator."""


class WorkerProcesses:
    """The worker processes of one gateway."""

    def __init__(self, plane: Plane, sockets: Sequence[socket.socket], supervisor: Supervisor) -> None:
        self._plane = plane
        self._sockets = sockets
        self._supervisor = supervisor
        self._numbers = itertools.count()
        self._stopping = False

    async def start(self) -> None:
        """Start one worker per socket and wait until each has its configuration. Raises WorkerFailed."""
        for sock in self._sockets:
            sock.listen(BACKLOG)  # from now on connections wait, whether or not their worker is there yet
        seats = range(self._plane.settings.server.workers)
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
        failures = 0
        while not self._stopping:
            began_s = loop.time()
            name = f"{seat}.{next(self._numbers)}"
            try:
                code = await self._run(seat, name, first)
            except OSError as error:  # no memory or no descriptors: as good as a worker that died at once
                code = None
                if not first.done():
                    first.set_result(f"a worker could not be started: {(error.strerror or str(error)).lower()}")
            if self._plane.stopping:
                return
            failures = 0 if loop.time() - began_s > STABLE_S else failures + 1
            wait_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** (failures - 1)) if failures else 0.0
            log.error("worker_died", seat=seat, code=code, again_in_s=wait_s)
            await asyncio.sleep(wait_s)

    async def _run(self, seat: int, name: str, first: asyncio.Future[str]) -> int:
        """One worker process from its start to its end; returns its exit code."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        listening = self._sockets[seat if seat < len(self._sockets) else 0]
        lost = asyncio.Event()
        process = None
        joined = False
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "gateway.workers",
                str(theirs.fileno()),
                str(listening.fileno()),
                pass_fds=(theirs.fileno(), listening.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                env=dict(os.environ),
            )
            theirs.close()
            link: PipeLink[ToWorker, ToPlane] = PipeLink(
                ToPlane, lambda message: self._plane.receive(name, message), lost.set
            )
            await loop.create_connection(lambda: link, sock=ours)
            joined = True
            self._plane.attach(name, link, process.pid)
            try:
                answered = asyncio.ensure_future(self._plane.configured(name))
                ended = asyncio.ensure_future(process.wait())
                await asyncio.wait({answered, ended}, return_when=asyncio.FIRST_COMPLETED)
                problem = answered.result() if answered.done() else "a worker ended while it started"
                answered.cancel()
                if not first.done():
                    first.set_result(problem)
                elif problem and not ended.done():
                    # It would never listen, and the connections in its queue would wait for ever.
                    log.error("worker_refused", seat=seat, why=problem)
                    with contextlib.suppress(ProcessLookupError):
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
                await _gone(process)


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Wait for a worker that is about to end; one that hangs is killed, or it would hang the gateway's own end."""
    try:
        async with asyncio.timeout(EXIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
