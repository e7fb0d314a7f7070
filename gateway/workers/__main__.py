"""The entry of a worker process: `python -m gateway.workers LINK_FD WORKERS SEAT LISTEN_FD...`. Started by `processes`.

The descriptors to listen on are those of all seats, in their order.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable

from gateway.http.listen import CannotListen, server_certificate
from gateway.links.link import PipeLink
from gateway.process.event_loop import new_event_loop
from gateway.process.supervisor import Supervisor
from gateway.serve import settle_memory
from gateway.telemetry import logs
from gateway.telemetry.metrics.families.loops import LOOP_RESTARTS
from gateway.telemetry.metrics.families.records import RECORDS_DROPPED
from gateway.workers.exchange.messages import Configure, Configured, Cover, Drain, ToPlane, ToWorker
from gateway.workers.seats import Seats
from gateway.workers.worker import Worker

ORPHAN_GRACE_S = 30.0


class Seat:
    """One worker in its own process, as the control plane speaks to it."""

    def __init__(self, worker: Worker, seats: Seats, supervisor: Supervisor) -> None:
        self._worker = worker
        self._seats = seats
        self._supervisor = supervisor
        self._begun = False
        self.ended = asyncio.Event()

    def told(self, message: ToWorker) -> None:
        match message:
            case Cover():
                self._seats.cover(message.seat, message.on)
            case _:
                self._worker.peer.told(message)

    def asked(self, message: ToWorker) -> Awaitable[ToPlane]:
        if isinstance(message, Drain):
            self._seats.close()
        return self._answer(message, self._worker.peer.asked(message))

    def link_lost(self) -> None:
        """The parent died: finish what runs, then end."""
        if not self.ended.is_set():
            self._supervisor.spawn("end", self._orphaned)

    async def _answer(self, message: ToWorker, answering: Awaitable[ToPlane]) -> ToPlane:
        answer = await answering
        match message, answer:
            case Configure(), Configured(problem="") if not self._begun:
                return Configured(await self._begin())
            case Drain(), _:
                self.ended.set()
        return answer

    async def _begin(self) -> str:
        """Listen, before anybody hears that we are here; returns why we cannot."""
        worker = self._worker
        telemetry = worker.settings.telemetry
        logs.configure(telemetry.log_level, telemetry.log_format)
        try:
            await worker.listen([self._seats.own], server_certificate(worker.settings.server))
        except (OSError, CannotListen) as error:
            return f"cannot listen: {error}"
        self._begun = True
        settle_memory()
        return ""

    async def _orphaned(self) -> None:
        self._seats.close()
        await self._worker.drain(ORPHAN_GRACE_S)
        self.ended.set()


async def work(link_fd: int, workers: int, own: int, *listen_fds: int) -> None:
    """Serve until the control plane says drain, or is gone."""
    # The terminal sends Ctrl-C to the whole group; when to stop is the control plane's to say.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTOU):  # the last: `stty tostop`
        signal.signal(number, signal.SIG_IGN)
    supervisor = Supervisor()
    worker = Worker(supervisor, workers=workers)
    worker.metrics.watch_count(RECORDS_DROPPED, ("process_log",), logs.dropped)
    # Not by the worker itself: where it shares a process, and so the supervisor, with the control plane, that counts.
    worker.metrics.watch_counts(LOOP_RESTARTS, lambda: [((loop,), n) for loop, n in supervisor.restarts().items()])
    sockets = [socket.socket(fileno=each) for each in listen_fds]
    seat = Seat(worker, Seats(worker, sockets, own, supervisor.spawn), supervisor)
    link: PipeLink[ToPlane] = PipeLink(
        ToWorker, seat, supervisor.spawn, lambda: worker.metrics.count(RECORDS_DROPPED, "link")
    )
    worker.join(link)
    await asyncio.get_running_loop().create_connection(lambda: link, sock=socket.socket(fileno=link_fd))
    await seat.ended.wait()
    link.close()
    await asyncio.sleep(0)  # let the link's last bytes go
    await supervisor.close()


def main() -> None:
    logs.start()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(work(*map(int, sys.argv[1:])))


if __name__ == "__main__":
    main()
