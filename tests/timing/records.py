"""What records cost: `make bench-records` prints the table. Needs PostgreSQL for its row.

    python -m tests.timing.records [--records 5000000]

The writer's rate is of decoding, coding strings, inserting and adding up, in transactions of 1,000 records, by
its CPU time; so is the hold of a worker's loop. Reports are timed as they are waited for. `bar` is as written, `here`
is the same scaled to this machine by a bare relay (`loadtests.stall.yardstick`; needs wrk).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from gateway.accounts.record import RequestRecord
from gateway.store.__main__ import GC_THRESHOLD, open_database
from gateway.store.carried import arrived, carried
from gateway.store.database import Records
from gateway.store.messages import Batch, FromWriter, Stored, ToWriter
from gateway.store.opening import engine_of
from gateway.store.reading import Wanted, found
from gateway.store.recorder import BATCH_RECORDS, Recorder
from gateway.store.reports import WantedSums, report
from gateway.store.shipping import Shipping
from gateway.workers.link import PipeLink
from loadtests.path.wrk import WrkError
from loadtests.processes.machine import alone
from loadtests.stall.stage import engine
from loadtests.stall.yardstick import BARE_US, Yardstick, scale
from tests.gateway.store import postgresql

TRANSACTION = 1_000
RUN = "0123456789ab"
START_MS = 1_780_000_000_000
Result = TypeVar("Result")


class Told:
    """Prints the rows; bars in time are scaled to this machine."""

    def __init__(self, here: float) -> None:
        """`here` is how many times as long this machine takes."""
        self._here = here
        self.row("", "measured", "bar", "here")

    def row(self, what: str, measured: str, bar: str = "", here: str = "") -> None:
        print(f"{what:62} {measured:>16} {bar:>12} {here:>12}", flush=True)

    def rate(self, what: str, per_s: float, bar: float) -> None:
        self.row(what, f"{per_s:,.0f}", f">= {bar:,.0f}", f">= {bar / self._here:,.0f}")

    def time(self, what: str, seconds: float, bar: float, unit: str = "s") -> None:
        times, digits = {"s": (1, 2), "us": (1e6, 0)}[unit]
        shown = [f"{value * times:.{digits}f} {unit}" for value in (seconds, bar, bar * self._here)]
        self.row(what, shown[0], f"< {shown[1]}", f"< {shown[2]}")


def slower(directory: Path, cores: set[int], load_cores: set[int]) -> float:
    """How many times as long this machine takes as the one that the bars were written on."""
    with contextlib.ExitStack() as started:
        backend, url = engine(directory / "backend.log", "loadtests.path.backend", load_cores)
        started.callback(backend.stop)
        yardstick = Yardstick(directory / "bare.log", url, cores, load_cores)
        started.callback(yardstick.stop)
        for _ in range(3):
            yardstick.read()
    return scale(sorted(yardstick.readings_us)[1])


def record(number: int, at_ms: int, rng: random.Random) -> RequestRecord:
    """One of 30 models' on 12 engines, for 200 keys of 25 tenants, with ids as clients and engines make them."""
    key = rng.randrange(200)
    bits = f"{rng.getrandbits(128):032x}"
    return RequestRecord(
        time="2026-05-28T20:26:40.000Z",
        request_id=f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}",
        record_id=f"{at_ms:012x}7{RUN[:3]}8{RUN[3:]}{number & 0xFFFFFF:06x}",
        operation="/v1/chat/completions",
        model=f"model-{key % 30}",
        status=200,
        duration_ms=rng.random() * 4000,
        stream=bool(number & 1),
        engine=f"engine-{key % 12}",
        replica=f"10.0.0.{rng.randrange(8)}:8000",
        arm="control",
        upstream_model=f"org/model-{key % 30}",
        attempts=1,
        finish_reason="stop",
        ttft_ms=rng.random() * 300,
        tpot_ms=rng.random() * 30,
        overhead_ms=0.1,
        input_tokens=rng.randrange(20, 8000),
        output_tokens=rng.randrange(1, 900),
        cached_tokens=rng.randrange(0, 20),
        usage_source="reported",
        cost_usd=rng.random() / 100,
        key_id=f"key-{key}",
        tenant=f"tenant-{key % 25}",
        price_source="genai-prices 0.2.3",
        response_id=f"chatcmpl-{rng.getrandbits(128):032x}",
        response_model=f"model-{key % 30}-2026-01-01",
        system_fingerprint="fp_44709d6fcb",
    )


def batches(count: int, span_ms: int) -> Iterator[bytes]:
    """Encoded as workers send them, `TRANSACTION` at a time, spread evenly over a span of time."""
    rng = random.Random(1)
    for start in range(0, count, TRANSACTION):
        some = [record(n, START_MS + n * span_ms // count, rng) for n in range(start, min(start + TRANSACTION, count))]
        yield carried(some)


def write(url: str, count: int, span_ms: int) -> float:
    """Records per second of the writer's CPU time."""
    database = open_database(url)
    took_s, stored = 0.0, 0
    for data in batches(count, span_ms):
        began_s = time.process_time()
        stored += database.insert([Records(RUN, list(arrived(data)))])
        took_s += time.process_time() - began_s
    database.close()
    assert stored == count
    return count / took_s


def size_of(url: str) -> int:
    """Bytes of a SQLite file once its log is written back."""
    engine = engine_of(url)
    connection = engine.raw_connection()
    connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (size,) = (
        connection.cursor().execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()
    )
    connection.close()
    engine.dispose()
    return int(size)


def read(url: str, told: Told, count: int, span_ms: int) -> None:
    engine = engine_of(url, reading=True)
    with engine.connect() as connection:
        report(connection, WantedSums())  # opens the file
        for by in (("model", "tenant", "arm", "day"), ("key", "model", "day")):
            wanted = WantedSums(by)
            took_s, rows = timed(functools.partial(report, connection, wanted))
            told.time(f"report of {count:,} records by {', '.join(by)}", took_s, 0.5)
        assert sum(row["requests"] for row in rows) == count
        day_ms = min(86_400_000, span_ms)
        query = "SELECT count(*), sum(cost_nanousd), sum(input_tokens) FROM requests WHERE id >= ? AND id < ?"
        bounds = tuple(ms.to_bytes(6, "big") for ms in (START_MS, START_MS + day_ms))
        took_s, (found_of_day,) = timed(lambda: connection.exec_driver_sql(query, bounds).all())
        told.time(f"one day of raw records ({found_of_day[0]:,})", took_s, 0.3)
        took_s, _ = timed(lambda: list(found(connection, Wanted(limit=100))))
        told.row("the 100 newest records", f"{took_s * 1e3:.0f} ms")
        raw = connection.exec_driver_sql("SELECT count(*), sum(cost_nanousd), sum(input_tokens) FROM requests").one()
        sums = connection.exec_driver_sql(
            "SELECT sum(requests), sum(cost_nanousd), sum(input_tokens) FROM hourly"
        ).one()
        keys = connection.exec_driver_sql(
            "SELECT sum(requests), sum(cost_nanousd), sum(input_tokens) FROM daily_keys"
        ).one()
        told.row("sums equal: records, by hour, by key and day", str(tuple(raw) == tuple(sums) == tuple(keys)), "True")
    engine.dispose()


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began_s = time.perf_counter()
    done = work()
    return time.perf_counter() - began_s, done


class Taker:
    """A writer that takes everything at once, in another process."""

    def __init__(self) -> None:
        self.link: PipeLink[FromWriter] = PipeLink(ToWriter, self, lambda name, work: None)

    def told(self, message: ToWriter) -> None:
        if isinstance(message, Batch):
            self.link.tell(Stored([message.number]))

    async def asked(self, message: ToWriter) -> FromWriter:
        raise TypeError

    def link_lost(self) -> None:
        os._exit(0)


def _there(path: str) -> bool:
    return Path(path).exists()


async def take(path: str) -> None:
    """Be the writer at `path`, until whoever sent is gone."""
    await asyncio.get_running_loop().create_unix_server(lambda: Taker().link, path)
    await asyncio.Event().wait()


async def hold(directory: Path, count: int) -> list[float]:
    """Microseconds that each batch holds the loop of a worker, which encodes and sends it."""
    path = str(directory / "s")
    taker = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.timing.records", "--taker", path)
    shipping = Shipping(RUN, path, directory, lambda name, work: None)
    while not _there(path):
        await asyncio.sleep(0.01)
    await shipping.step()
    recorder = Recorder(memoryview(bytearray(8)).cast("Q"), shipping.take)
    rng = random.Random(2)
    some = [record(number, START_MS, rng) for number in range(BATCH_RECORDS)]
    held_us = []
    for _ in range(count):
        for one in some[:-1]:
            recorder.write(one)
        began_s = time.thread_time()
        recorder.write(some[-1])
        held_us.append((time.thread_time() - began_s) * 1e6)
        await asyncio.sleep(0.0005)
    await shipping.close(5.0)
    await taker.wait()
    return sorted(held_us)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.timing.records", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--records", type=int, default=5_000_000, metavar="N", help="in SQLite; PostgreSQL: a tenth")
    parser.add_argument("--taker", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.taker is not None:
        run(take(options.taker))

    gc.set_threshold(GC_THRESHOLD)  # as the writer's process has it
    with alone(), tempfile.TemporaryDirectory(prefix="bench-records-") as found:
        directory = Path(found)
        cores = os.sched_getaffinity(0)
        ours = {max(cores)}
        try:
            here = slower(directory, ours, cores - ours or cores)
        except WrkError as missing:
            print(f"bars are not scaled to this machine: {missing}")
            here = 1.0
        os.sched_setaffinity(0, ours)
        told = Told(here)
        url = f"sqlite:///{directory / 'records.db'}"
        span_ms = options.records // 167_000 * 86_400_000 or 86_400_000
        told.rate("records/s to SQLite, one core", write(url, options.records, span_ms), 50_000)
        size = size_of(url)
        told.row("bytes per record in SQLite, sums and indexes included", f"{size / options.records:.0f}", "<= 250")
        read(url, told, options.records, span_ms)
        held_us = run(hold(directory, 2_000))
        told.time(f"hold of a worker's loop by {BATCH_RECORDS} records, median", held_us[1000] / 1e6, 50e-6, "us")
        told.row("  99 of 100 are within", f"{held_us[1980]:.0f} us")
        try:
            with postgresql.running(durable=True) as server:
                rate = write(server.url, options.records // 10, span_ms // 10)
        except postgresql.Missing as missing:
            told.row("records/s to PostgreSQL", str(missing))
        else:
            told.rate("records/s to PostgreSQL, one core", rate, 50_000)
        print(f"A bare relay takes {here * BARE_US:.1f} us per request here, {BARE_US} where the bars were written.")
    return 0


def run(work: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
