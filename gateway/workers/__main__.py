"""The entry of a worker process: `python -m gateway.workers LINK_FD LISTEN_FD`. Started by `processes`, not by hand."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import uvloop

from gateway.http.listen import server_tls
from gateway.serve import settle_memory
from gateway.supervisor import Supervisor
from gateway.telemetry import logs
from gateway.workers.link import PipeLink
from gateway.workers.messages import Configure, Drain, ToPlane, ToWorker
from gateway.workers.worker import Worker

ORPHAN_GRACE_S = 30.0


async def work(link_fd: int, listen_fd: int) -> None:
    """Serve until the control plane says drain, or is gone."""
    loop = asyncio.get_running_loop()
    # The terminal sends Ctrl-C to the whole group; when to stop is the control plane's to say.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    supervisor = Supervisor()
    listening = socket.socket(fileno=listen_fd)
    ended = asyncio.Event()
    first = True
    worker: Worker | None = None

    def receive(message: ToWorker) -> None:
        nonlocal first, worker
        if isinstance(message, Configure) and worker is None:
            worker = Worker(supervisor, workers=message.workers)
            worker.join(link)
        assert worker is not None
        worker.receive(message)
        if first and worker.configured:
            first = False
            telemetry = worker.settings.telemetry
            logs.configure(telemetry.log_level, telemetry.log_format)
            supervisor.spawn("listen", lambda: begin(worker))
        if isinstance(message, Drain):
            supervisor.spawn("end", lambda: end(message.grace_s))

    async def begin(worker: Worker) -> None:
        await worker.listen([listening], server_tls(worker.settings.server))
        settle_memory()

    async def end(grace_s: float) -> None:
        if worker is not None:
            await worker.drain(grace_s)
            await worker.drained.wait()
        ended.set()

    def orphaned() -> None:
        if not ended.is_set():
            supervisor.spawn("end", lambda: end(ORPHAN_GRACE_S))

    link: PipeLink[ToPlane, ToWorker] = PipeLink(ToWorker, receive, orphaned)
    await loop.create_connection(lambda: link, sock=socket.socket(fileno=link_fd))
    await ended.wait()
    link.close()
    await asyncio.sleep(0)  # let the link's last bytes go
    await supervisor.close()


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(int(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
