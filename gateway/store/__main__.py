"""The entry of the writer process: `python -m gateway.store LISTEN_FD`. Started and
watched by `gateway.store.writing.process`.

What it is to use comes as one line of JSON on standard input, where a password is nobody else's to see. That input
stays open for as long as the gateway lives: at its end the writer takes what workers still send, and ends when they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec
import structlog
import uvloop

from gateway import clock
from gateway.process.supervisor import Supervisor
from gateway.store.contents.content import Content, ContentRecord
from gateway.store.contents.keeper import ContentKeeper
from gateway.store.contents.table import ContentTable
from gateway.store.database.opening import NEEDS_PSYCOPG, store_url
from gateway.store.database.port import Database, DatabaseAway, DatabaseRefused
from gateway.store.drift.keeper import DriftKeeper
from gateway.store.drift.opened import drift_table
from gateway.store.evaluations.evaluating import Evaluating
from gateway.store.evaluations.table import EvaluationTable
from gateway.store.feedback.retention import EVERY_S as FORGET_EVERY_S
from gateway.store.feedback.retention import Forgetting
from gateway.store.feedback.table import give_all
from gateway.store.messages import (
    Start,
)
from gateway.store.writing.client import StoreClient, StoreClients
from gateway.store.writing.writer import Writer
from gateway.telemetry import logs

GC_THRESHOLD = 50_000
"""Rows are many tuples and no cycles."""
ORPHAN_S = 40.0
"""Longer than a worker drains whose parent is gone."""
NICE = 5
"""What waits for a record waits for a report; what waits for a worker is a request."""

log = structlog.get_logger()


def open_database(url: str) -> Database:
    """Raises DatabaseAway or DatabaseRefused."""
    if url.startswith("postgres"):
        try:
            from gateway.store.database.postgres import Postgres
        except ModuleNotFoundError:
            raise DatabaseRefused(NEEDS_PSYCOPG) from None
        return Postgres(url)
    from gateway.store.database.sqlite import Sqlite

    return Sqlite(url)


async def write(listen_fd: int) -> None:
    """Serve until standard input ends, and the links of all workers after it."""
    for interruption in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTOU):
        signal.signal(interruption, signal.SIG_IGN)  # the end is told by standard input
    loop = asyncio.get_running_loop()
    lifeline = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lifeline), sys.stdin)
    start = msgspec.json.decode(await lifeline.readline(), type=Start)
    logs.configure(start.log_level, start.log_format)
    data_dir = Path(start.data_dir)
    url = store_url(start.url, data_dir)
    supervisor = Supervisor()
    name = f"writer{os.getpid()}-{os.urandom(3).hex()}"

    def failed() -> None:
        os._exit(1)  # another is started, and is sent all that was not confirmed

    writer = Writer(
        lambda: open_database(url),
        data_dir,
        name,
        retention_days=start.retention_days,
        failed=failed,
    )
    writer.start()
    evaluating = Evaluating(
        lambda: EvaluationTable(url),
        lambda given: asyncio.to_thread(give_all, url, given, keeper.redaction, keeper.retention_ms),
        supervisor.spawn,
        courtesy=writer.courtesy,
        after_records=writer.idle.wait,
    )
    evaluating.start()
    drift = DriftKeeper(lambda: drift_table(writer, url), courtesy=writer.courtesy, after_records=writer.idle.wait)

    def seen(content: Content, record: ContentRecord) -> None:
        """On the keeper's thread."""
        evaluating.take(content, record)
        drift.reading.take(content, record)

    keeper = ContentKeeper(
        lambda: ContentTable(url),
        data_dir,
        name,
        retention_days=start.content_retention_days,
        courtesy=writer.courtesy,
        after_records=writer.idle.wait,
        failed=failed,
        evaluate=seen,
    )
    keeper.start()
    drift.start()
    forgetting = Forgetting(
        url, retention_days=start.retention_days, content_retention_days=start.content_retention_days
    )

    async def forget() -> None:
        await asyncio.to_thread(writer.opened.wait)
        with contextlib.suppress(DatabaseAway, DatabaseRefused):  # later
            await asyncio.to_thread(forgetting.forget, int(clock.wall() * 1e3))

    supervisor.loop("feedback_retention", forget, FORGET_EVERY_S)
    clients = StoreClients()
    listening = socket.socket(fileno=listen_fd)
    server = await loop.create_unix_server(
        lambda: StoreClient(writer, keeper, drift, evaluating, url, data_dir, clients, supervisor).link, sock=listening
    )
    await lifeline.read()
    server.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ORPHAN_S):
            await clients.none.wait()
    await asyncio.to_thread(writer.close)
    await asyncio.to_thread(keeper.close)
    await evaluating.close()
    await asyncio.to_thread(drift.close)
    await supervisor.close()


def give_way() -> None:
    """Leave the cores to the workers, where they are all busy: the writer takes none from them as it wakes."""
    os.nice(NICE)
    if hasattr(os, "SCHED_BATCH"):  # Linux, sched(7)
        with contextlib.suppress(OSError):  # a sandbox may allow no such call: records are written all the same
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main() -> None:
    os.umask(0o027)  # records are nobody else's to read
    give_way()
    logs.start()
    gc.set_threshold(GC_THRESHOLD)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(write(int(sys.argv[1])))


if __name__ == "__main__":
    main()
