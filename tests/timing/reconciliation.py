"""Whatever is killed, money reconciles: `make bench-reconciliation` prints the table. Needs PostgreSQL for one row.

    python -m tests.timing.reconciliation [--requests 200000]

Each row is a gateway of its own under mixed traffic (`tests.timing.mixed_traffic`), disturbed as the row says:

    records = report     requests, tokens and cost, to the token and the billionth of a dollar, from rows and from sums
    = counters           the same of its metrics, where nothing was killed that held any
    missing              answers that clients have whole, and the store has no record of
    lost                 what the gateway itself counted as lost, at its next start or when the worker was replaced
    100 ms               how many requests came in a tenth of a second
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop
from sqlalchemy import Connection

from gateway.store.database.opening import engine_of
from tests.gateway.store import postgresql
from tests.gateway.store.chaos import PRICE, Gateway, limit_files, summed
from tests.timing.mixed_traffic import Clients, Engine

CLIENTS: Final = 16
COLUMNS: Final = {
    "disturbed by": 36,
    "answers": 9,
    "records": 9,
    "= report": 10,
    "= counters": 12,
    "missing": 9,
    "lost": 6,
    "100 ms": 8,
    "ok": 5,
}
CENT_NANOUSD: Final = 10_000_000
SETTLED_WITHIN_S: Final = 10

Sums = tuple[int, int, int, int]
"""Requests, tokens in and out, and billionths of a dollar."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one phase."""

    answered: frozenset[str]
    """The answers that clients have whole; and those that they have left, where nothing was killed that was to settle
    them."""
    records: frozenset[str]
    of_records: Sums
    of_report: Sums
    counted: Sums | None
    """By the metrics; None where something was killed that held counters."""
    lost: int
    per_s: float
    mixed: tuple[int, int, int]
    """Of the records: left by their client, with several attempts, answered by the second tier."""

    @property
    def missing(self) -> int:
        return len(self.answered - self.records)

    @property
    def as_counted(self) -> bool:
        """Tokens exactly, and cost to the cent: counters are floats."""
        one, other = self.counted, self.of_report
        return one is None or (one[:3] == other[:3] and abs(one[3] - other[3]) < CENT_NANOUSD)

    @property
    def reconciles(self) -> bool:
        # What was settled in the very turn of a kill, its client may not have been told: one request of each.
        counted = self.missing <= self.lost <= self.missing + CLIENTS
        return self.of_records == self.of_report and self.as_counted and counted and self.lost <= self.per_s / 10

    def cells(self, name: str) -> Iterator[str]:
        yield name
        yield f"{len(self.answered):,}"
        yield f"{len(self.records):,}"
        yield _yes(self.of_records == self.of_report)
        yield "-" if self.counted is None else _yes(self.as_counted)
        yield str(self.missing)
        yield str(self.lost)
        yield f"{self.per_s / 10:.0f}"
        yield _yes(self.reconciles)


def _yes(right: bool) -> str:
    return "yes" if right else "NO"


def line(cells: Iterator[str]) -> str:
    name, *others = zip(cells, COLUMNS.values(), strict=True)
    return name[0].ljust(name[1]) + "".join([cell.rjust(width) for cell, width in others])


@contextlib.asynccontextmanager
async def phase(directory: Path, *, workers: int = 1, store: str = "") -> AsyncIterator[tuple[Gateway, Clients]]:
    """A gateway of two tiers, and clients of it; in the end it is told to stop."""
    engine = Engine()
    base = f"http://127.0.0.1:{await engine.start()}/v1"
    gateway = Gateway(directory, workers=workers, store=store)
    kind = {"kind": "openai", "api_key": "k", "base_url": base}
    gateway.changes = {
        "engines": {"near": kind, "beside": kind, "far": {**kind, "gpu_usd_per_hour": 2.5}},
        "models": {
            "m": {
                "targets": [
                    {"engine": "near", "model": "up", "tier": 0},
                    {"engine": "beside", "model": "up", "tier": 0},
                    {"engine": "far", "model": "deep", "tier": 1},
                ]
            }
        },
        "prices": {"up": PRICE, "deep": PRICE},
        "retry": {"base_backoff_s": 0.001, "budget_ratio": 1, "budget_floor_per_s": 10_000, "budget_cap": 100_000},
    }
    try:
        await gateway.start()
        yield gateway, Clients(gateway.uds)
    finally:
        await gateway.stop()
        engine.close()


async def counted(gateway: Gateway, requests: int) -> Sums:
    """By its metrics, once so many requests are settled: those of clients that left may be so a little later."""
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while summed(metrics := await gateway.metrics(), "penstock_requests_total") < requests:
            await asyncio.sleep(0.01)
    return (
        round(summed(metrics, "penstock_requests_total")),
        round(summed(metrics, "penstock_tokens_total", 'kind="input"')),
        round(summed(metrics, "penstock_tokens_total", 'kind="output"')),
        round(summed(metrics, "penstock_cost_usd_total") * 1e9),
    )


def outcome(gateway: Gateway, clients: Clients, by_metrics: Sums | None, per_s: float) -> Outcome:
    """What the store says once the gateway has ended."""
    engine = engine_of(gateway.url, reading=True)
    with engine.connect() as connection:
        records = frozenset(row[0].hex() for row in connection.exec_driver_sql("SELECT id FROM requests"))
        of_records = _sums(connection, "count(*)", "requests")
        of_report = _sums(connection, "sum(requests)", "hourly")
        assert of_report == _sums(connection, "sum(requests)", "daily_keys")
        query = "SELECT coalesce(sum(settled - recorded), 0) FROM runs WHERE settled IS NOT NULL"
        lost = int(connection.exec_driver_sql(query).scalar_one())
        left = _count(connection, "status = 499")
        tried = _count(connection, "attempts > 1")
        fell = _count(connection, "engine = (SELECT id FROM strings WHERE text = 'far')")
    engine.dispose()
    known = frozenset([*clients.answered, *(clients.left if by_metrics is not None else ())])
    return Outcome(known, records, of_records, of_report, by_metrics, lost, per_s, (left, tried, fell))


def _count(connection: Connection, condition: str) -> int:
    query = f"SELECT count(*) FROM requests WHERE {condition}"
    return int(connection.exec_driver_sql(query).scalar_one())


def _sums(connection: Connection, requests: str, table: str) -> Sums:
    amounts = [f"coalesce(sum({name}), 0)" for name in ("input_tokens", "output_tokens", "cost_nanousd")]
    found = connection.exec_driver_sql(f"SELECT {requests}, {', '.join(amounts)} FROM {table}").one()
    count, tokens_in, tokens_out, cost_nanousd = map(int, found)
    return count, tokens_in, tokens_out, cost_nanousd


# -- what disturbs -----------------------------------------------------------------------------------------------------


class Once:
    """Does each thing once, when so many requests are answered."""

    def __init__(self, *steps: tuple[int, Callable[[], Any]]) -> None:
        self._steps = sorted(steps, key=lambda step: step[0])

    def __call__(self, answered: int) -> None:
        while self._steps and answered >= self._steps[0][0]:
            self._steps.pop(0)[1]()


Steps = list[tuple[float, Callable[[], Any]]]
"""What happens at which part of the requests."""


def reloads(gateway: Gateway, at: float) -> Steps:
    def reload() -> None:
        models = gateway.changes["models"]
        gateway.changes["models"] = {**models, f"more{len(models)}": models["m"]}
        gateway.configure()
        gateway.reload()

    return [(at, reload)]


def writers_killed(gateway: Gateway) -> Steps:
    def kill() -> None:
        for pid in gateway.children("gateway.store"):
            os.kill(pid, signal.SIGKILL)

    return [(0.25, kill), (0.5, kill), (0.75, kill)]


def worker_killed(gateway: Gateway) -> Steps:
    return [(0.3, lambda: os.kill(gateway.children("gateway.workers")[0], signal.SIGKILL)), *reloads(gateway, 0.6)]


def disk_full(gateway: Gateway) -> Steps:
    def fill(most_bytes: int | None) -> None:
        for pid in (gateway.pid, *gateway.children("gateway.store")):
            limit_files(pid, most_bytes)

    return [(0.3, lambda: fill(1)), (0.6, lambda: fill(None))]


async def disturbed(
    directory: Path,
    count: int,
    steps: Callable[[Gateway], Steps],
    *,
    workers: int = 1,
    store: str = "",
    keeps_counters: bool = True,
) -> Outcome:
    """One phase; `steps` are at parts of its requests."""
    async with phase(directory, workers=workers, store=store) as (gateway, clients):
        began_s = time.monotonic()
        await clients.ask(
            count, clients=CLIENTS, meanwhile=Once(*((int(part * count), step) for part, step in steps(gateway)))
        )
        per_s = clients.count / (time.monotonic() - began_s)
        by_metrics = await counted(gateway, clients.count) if keeps_counters else None
    return outcome(gateway, clients, by_metrics, per_s)


async def gateway_killed(directory: Path, count: int) -> Outcome:
    async with phase(directory) as (gateway, clients):
        killed: list[asyncio.Future[None]] = []
        kill = Once((count // 2, lambda: killed.append(asyncio.ensure_future(gateway.kill()))))
        began_s = time.monotonic()
        await clients.ask(count // 2 + CLIENTS, clients=CLIENTS, meanwhile=kill)
        per_s = clients.count / (time.monotonic() - began_s)
        await killed[0]
        await gateway.start()
        await clients.ask(count // 2, clients=CLIENTS)
    return outcome(gateway, clients, None, per_s)


async def phases(directory: Path, requests: int, say: Callable[[str], None]) -> bool:
    """All of them; whether each reconciles."""
    right = True
    each = requests // 6
    mixed = [0, 0, 0]

    def told(name: str, found: Outcome) -> None:
        nonlocal right
        right = right and found.reconciles
        mixed[:] = [all_before + more for all_before, more in zip(mixed, found.mixed, strict=True)]
        say(line(found.cells(name)))

    def place(name: str) -> Path:
        made = directory / name
        made.mkdir()
        return made

    say(line(iter(COLUMNS)))
    told("a reload, two workers", await disturbed(place("a"), each, lambda g: reloads(g, 0.5), workers=2))
    told("kill -9 of the writer, three times", await disturbed(place("b"), each, writers_killed))
    told("a full disk for a while", await disturbed(place("c"), each, disk_full))
    gone = await disturbed(place("d"), each, worker_killed, workers=2, keeps_counters=False)
    told("kill -9 of a worker, then a reload", gone)
    told("kill -9 of the gateway", await gateway_killed(place("e"), each))
    try:
        with postgresql.running() as server:
            back: Steps = [(0.3, server.kill), (0.6, server.start)]
            found = await disturbed(place("f"), each, lambda _: back, workers=2, store=server.url)
            told("kill -9 of PostgreSQL, and its return", found)
    except postgresql.Missing as missing:
        say(str(missing))
    left, tried, fell = mixed
    say(f"among them: {left:,} left by their clients, {tried:,} of several attempts, {fell:,} by the second tier")
    return right and all(mixed)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.timing.reconciliation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--requests", type=int, default=200_000, metavar="N", help="of all rows together")
    options = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory(prefix="bench-reconciliation-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        right = runner.run(phases(Path(directory), options.requests, lambda said: print(said, flush=True)))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
