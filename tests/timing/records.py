"""What records cost: `make bench-records` prints the table, and exits 1 on a bar missed. Needs PostgreSQL and wrk.

    python -m tests.timing.records [--records 5000000] [--no-postgresql]

The writer's rate is of decoding, coding strings, inserting and adding up, in transactions of 1,000 records, by
its CPU time. So is the hold of a worker's loop, the longest that a record of a batch takes, which is what recurs: some
processes send the same batches, and of each batch the shortest counts, because the time of a thread has the interrupts
of its machine in it (a loop of nothing but additions that takes 32 us takes 135 once in 2,000 times). What the code
does, a collection or a growth, comes again at the same batch. A batch after a pause has a row of its own: it meets cold
caches, as any code does then, the first of a process no more than others (it faults no page, and to send some before
changes nothing). What the loop writes to the socket at the end of a turn has one too. Reports are
timed as they are waited for, the median of three: those of all records by the code of `penstock cost report`, that of a
day by the code of its `--records`. `bar` is as written, `here` is the same scaled to this machine by a bare relay
(`loadtests.stall.yardstick`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from engines.model import Parts, Usage
from gateway.accounts.record import RequestRecord
from gateway.links.link import PipeLink
from gateway.store.__main__ import GC_THRESHOLD, open_database
from gateway.store.database.opening import engine_of
from gateway.store.database.port import Records
from gateway.store.messages import Batch, FromWriter, Stored, ToWriter
from gateway.store.reports.requests import Wanted, found
from gateway.store.reports.sums import WantedSums, report, report_of_records
from gateway.store.sending.carried import arrived, carried
from gateway.store.sending.recorder import BATCH_RECORDS, Recorder
from gateway.store.sending.shipping import Shipping
from loadtests.path.wrk import WrkError
from loadtests.processes.machine import alone
from loadtests.stall.stage import engine
from loadtests.stall.yardstick import BARE_US, Yardstick, scale
from tests.gateway.accounts.test_prices import PARTS, agree, heard_by_the_hour, library_usd, priced
from tests.gateway.store import postgresql

TRANSACTION = 1_000
A_DAY = 167_000
"""Records: five million are a month of them."""
HELD = 2_000
"""Batches whose hold is measured, in each of as many processes."""
HOLDERS = 5
FIRST = 2
"""Of them come after a pause, too; the second hands the first one on."""
PAUSED = 20
PAUSE_S = 0.1
"""So many batches after a pause of so long, after the others."""
RUN = "0123456789ab"
START_MS = 1_780_000_000_000
Result = TypeVar("Result")


class Told:
    """Prints the rows, and remembers which missed; bars in time are scaled to this machine."""

    def __init__(self, here: float) -> None:
        """`here` is how many times as long this machine takes."""
        self._here = here
        self.missed: list[str] = []
        self.row("", "measured", "bar", "here")

    def row(self, what: str, measured: str, bar: str = "", here: str = "", verdict: str = "") -> None:
        print(f"{what:62} {measured:>14} {bar:>10} {here:>10} {verdict:>7}", flush=True)

    def judged(self, what: str, measured: str, bar: str, here: str, met: bool) -> None:
        self.row(what, measured, bar, here, "met" if met else "MISSED")
        if not met:
            self.missed.append(what)

    def rate(self, what: str, per_s: float, bar: float) -> None:
        least = bar / self._here
        self.judged(what, f"{per_s:,.0f}", f">= {bar:,.0f}", f">= {least:,.0f}", per_s >= least)

    def time(self, what: str, seconds: float, bar: float, unit: str = "s") -> None:
        times, digits = {"s": (1, 2), "us": (1e6, 0)}[unit]
        most = bar * self._here
        shown = [f"{value * times:.{digits}f} {unit}" for value in (seconds, bar, most)]
        self.judged(what, shown[0], f"< {shown[1]}", f"< {shown[2]}", seconds < most)

    def exact(self, what: str, measured: str, bar: str, met: bool) -> None:
        """Of a bar that is the same on any machine."""
        self.judged(what, measured, bar, bar, met)


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


def write(urls: list[str], count: int, span_ms: int) -> list[float]:
    """Records per second of the writer's CPU time, in each of these databases."""
    databases = [open_database(url) for url in urls]
    took_s, stored = [0.0] * len(urls), [0] * len(urls)
    for data in batches(count, span_ms):
        for at, database in enumerate(databases):
            began_s = time.process_time()
            stored[at] += database.insert([Records(RUN, list(arrived(data)))])
            took_s[at] += time.process_time() - began_s
    for database in databases:
        database.close()
    assert stored == [count] * len(urls)
    return [count / one_s for one_s in took_s]


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


def read(url: str, where: str, told: Told, count: int, span_ms: int) -> None:
    engine = engine_of(url, reading=True)
    with engine.connect() as connection:
        report(connection, WantedSums())  # opens the file
        for by in (("model", "tenant", "arm", "day"), ("key", "model", "day")):
            wanted = WantedSums(by)
            took_s, rows = timed(functools.partial(report, connection, wanted))
            told.time(f"report of {count:,} records by {', '.join(by)}, {where}", took_s, 0.5)
            assert sum(row["requests"] for row in rows) == count
        day = WantedSums(("model",), START_MS, START_MS + min(86_400_000, span_ms))
        took_s, rows = timed(lambda: report_of_records(connection, day))
        of_day = sum(row["requests"] for row in rows)
        told.time(f"report of one day of raw records ({of_day:,}), {where}", took_s, 0.3)
        took_s, _ = timed(lambda: list(found(connection, Wanted(limit=100))))
        told.row(f"the 100 newest records, {where}", f"{took_s * 1e3:.0f} ms")
        sums = "SELECT sum(%s), sum(cost_nanousd), sum(input_tokens), sum(output_tokens) FROM %s"
        raw = connection.exec_driver_sql((sums % ("1", "requests")).replace("sum(1)", "count(*)")).one()
        hourly = connection.exec_driver_sql(sums % ("requests", "hourly")).one()
        keys = connection.exec_driver_sql(sums % ("requests", "daily_keys")).one()
        same = [int(one) for one in raw] == [int(one) for one in hourly] == [int(one) for one in keys]
        told.exact(f"sums equal: records, by hour, by key and day, {where}", str(same), "True", same)
    engine.dispose()


def sweep(told: Told) -> None:
    """Prices as this gateway reckons them, and as genai-prices does: every model it knows, with all kinds of tokens."""
    agreed = known = 0
    usage = Usage(1_000_003, 70_001, 300_007, 200_009, 10_007, parts=Parts(*PARTS))
    for name, rates in priced().items():
        if not heard_by_the_hour(rates, usage):
            known += 1
            agreed += agree(name, rates.cost_usd(usage), library_usd(*name, usage))
    told.exact(
        "models priced by the token that cost what genai-prices says", f"{agreed:,}", f"{known:,}", agreed == known
    )


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """The median of three, and what was done."""
    took_s = []
    for _ in range(3):
        began_s = time.perf_counter()
        done = work()
        took_s.append(time.perf_counter() - began_s)
    return sorted(took_s)[1], done


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


async def hold(directory: Path, count: int) -> tuple[list[float], list[float]]:
    """Microseconds that each batch holds the loop of a worker, which encodes it and hands it on, by its longest record,
    and those that the loop's turn then ends with; after `count` batches come `PAUSED` others, each after a pause."""
    path = str(directory / "s")
    taker = subprocess.Popen([sys.executable, "-m", "tests.timing.records", "--taker", path], stdin=subprocess.DEVNULL)  # noqa: ASYNC220
    shipping = Shipping(RUN, path, directory, lambda name, work: None)
    while not _there(path):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # it listens by then
    await shipping.step()
    recorder = Recorder(memoryview(bytearray(8)).cast("Q"), shipping.take)
    rng = random.Random(2)
    some = [record(number, START_MS, rng) for number in range(BATCH_RECORDS)]
    held_us, turned_us = [], []
    for number in range(count + PAUSED):
        if number >= count:
            await asyncio.sleep(PAUSE_S)
        held_s, before_s = 0.0, time.thread_time()
        for one in some:
            recorder.write(one)
            now_s = time.thread_time()
            held_s, before_s = max(held_s, now_s - before_s), now_s
        await asyncio.sleep(0)
        turned_us.append((time.thread_time() - before_s) * 1e6)
        held_us.append(held_s * 1e6)
        await asyncio.sleep(0.0005)
    assert shipping.kept < count, "nothing was taken"
    await shipping.close(5.0)
    taker.kill()
    taker.wait()
    return held_us, turned_us


def holds(told: Told) -> None:
    """What a batch holds the loop for, by what recurs; see the module."""
    command = [sys.executable, "-m", "tests.timing.records", "--holder"]
    runs = [json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) for _ in range(HOLDERS)]
    recurs_us = [min(same) for same in zip(*(held for held, _ in runs), strict=True)]
    turned_us = sorted(min(same) for same in zip(*(turned for _, turned in runs), strict=True))
    paused_us = sorted([*recurs_us[1:FIRST], *recurs_us[HELD:]])
    later_us = sorted(recurs_us[FIRST:HELD])
    what = f"hold of a worker's loop by a batch of {BATCH_RECORDS} records"
    told.time(f"{what}, median", later_us[len(later_us) // 2] / 1e6, 50e-6, "us")
    told.time(f"{what}, most of {HELD:,}", later_us[-1] / 1e6, 50e-6, "us")
    told.row(f"    after a pause of {PAUSE_S} s, median", f"{paused_us[len(paused_us) // 2]:.0f} us")
    told.row("    the end of the turn, which writes to the socket, median", f"{turned_us[len(turned_us) // 2]:.0f} us")
    most_us = max(max(held[FIRST:HELD]) for held, _ in runs)
    told.row("    most in any one process, with the machine's interrupts", f"{most_us:.0f} us")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.timing.records", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--records", type=int, default=5_000_000, metavar="N", help="of each database")
    parser.add_argument("--no-postgresql", action="store_true", help="SQLite alone")
    parser.add_argument("--taker", help=argparse.SUPPRESS)
    parser.add_argument("--holder", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.taker is not None:
        run(take(options.taker))
    if options.holder:
        gc.freeze()
        gc.set_threshold(2_000, 2, 400)  # as a worker has it (`gateway.serve`)
        with tempfile.TemporaryDirectory(prefix="bench-hold-") as found:
            print(json.dumps(run(hold(Path(found), HELD))))
        return 0

    began_s = time.monotonic()
    gc.set_threshold(GC_THRESHOLD)  # as the writer's process has it
    with alone(), tempfile.TemporaryDirectory(prefix="bench-records-") as found, contextlib.ExitStack() as stack:
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
        urls = {"SQLite": f"sqlite:///{directory / 'records.db'}"}
        if not options.no_postgresql:
            try:
                urls["PostgreSQL"] = stack.enter_context(postgresql.running(durable=True)).url
            except postgresql.Missing as missing:
                told.exact("records/s to PostgreSQL", "not measured", "", met=False)
                print(f"    {missing}")
        span_ms = max(1, options.records * 86_400_000 // A_DAY)
        for where, rate in zip(urls, write(list(urls.values()), options.records, span_ms), strict=True):
            told.rate(f"records/s to {where}, one core, sums included", rate, 50_000)
        per_record = size_of(urls["SQLite"]) / options.records
        told.exact("bytes per record in SQLite, sums and indexes", f"{per_record:.0f}", "<= 250", per_record <= 250)
        for where, url in urls.items():
            read(url, where, told, options.records, span_ms)
        holds(told)
        sweep(told)
        print(f"A bare relay takes {here * BARE_US:.1f} us per request here, {BARE_US} where the bars were written.")
        print(f"All of it took {(time.monotonic() - began_s) / 60:.1f} minutes.")
        print(f"{len(told.missed)} missed" + "".join(f"\n  {what}" for what in told.missed))
    return 1 if told.missed else 0


def run(work: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
