"""`python -m loadtests.chaos`: a gateway under load while everything around it goes wrong, and what must hold after it.

Engines and workers are killed and stopped, the configuration is reloaded, rightly and wrongly, both log streams are
left unread in turn; clients abandon uploads, read slowly, leave, send garbage; one engine does everything wrong. When
it is over, the laws of `laws.py` are held against what was counted from outside.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

from loadtests.chaos.clients import Clients
from loadtests.chaos.events import Events
from loadtests.chaos.laws import Figures, laws, render
from loadtests.chaos.ledger import Ledger
from loadtests.chaos.stage import ChaosError, Stage
from loadtests.processes.machine import alone
from loadtests.stall.stage import StallError, program_of

WARM_S = 5.0
SETTLE_S = 25.0
BETWEEN_S = 1.0
AFTERWARDS = 50


class Chaos:
    """One run."""

    def __init__(self, stage: Stage, clients: Clients, ledger: Ledger, minutes: float) -> None:
        self.stage, self.clients, self.ledger = stage, clients, ledger
        self.length_s = minutes * 60
        self.events = Events(stage, clients)
        self.memory_mib: list[float] = []
        self.happened: dict[str, int] = {}

    async def run(self) -> Figures:
        """Warm up, let everything happen in turn, settle, count."""
        stage, clients = self.stage, self.clients
        warm = Clients(stage.port, self.ledger, prefix="warm")
        load = asyncio.ensure_future(warm.run())
        await asyncio.sleep(WARM_S)
        warm.stop()
        await load
        await self._settled()
        before = await asyncio.to_thread(stage.descriptors)
        clients._number = warm._number  # ids go on where they were
        load = asyncio.ensure_future(clients.run())
        watching = asyncio.ensure_future(self._watch_memory())
        end_s = time.monotonic() + self.length_s
        while time.monotonic() < end_s:
            for name, happen in self.events.all():
                if time.monotonic() >= end_s:
                    break
                self._say(name)
                self.happened[name] = self.happened.get(name, 0) + 1
                await happen()
                await asyncio.sleep(BETWEEN_S)
        clients.stop()
        await load
        watching.cancel()
        in_flight = await self._settled()
        recovered = [await clients.ask("chat", number % 2 == 0) for number in range(AFTERWARDS)]
        await self._settled()
        after = await asyncio.to_thread(stage.descriptors)
        dropped = await asyncio.to_thread(stage.metric, "penstock_records_dropped_total")
        workers = len(stage.worker_pids())
        account = self.ledger.account(self.events.kills_s)
        unread_ratio = await self._without_readers()
        stop_s, code = await asyncio.to_thread(stage.stop)
        fifth = max(1, len(self.memory_mib) // 5)
        return Figures(
            account=account,
            dropped_lines=dropped,
            hung=clients.counts.hung + warm.counts.hung,
            in_flight=in_flight,
            descriptors_before=before,
            descriptors_after=after,
            memory_growth_mib=median(self.memory_mib[-fifth:]) - median(self.memory_mib[fifth : 2 * fifth] or [0.0]),
            workers=workers,
            workers_wanted=stage.workers if stage.workers > 1 else 0,
            stdout_wait_s=self.events.stdout_wait_s,
            stderr_wait_s=self.events.stderr_wait_s,
            recovered_ratio=sum(status == 200 for status in recovered) / AFTERWARDS,
            unread_ratio=unread_ratio,
            stop_s=stop_s,
            stop_code=code,
        )

    async def _without_readers(self) -> float:
        """Nobody reads standard output, the reader of standard error has gone; a reload, a lost worker, and requests.

        What share of them was answered with 200.
        """
        stage, clients = self.stage, self.clients
        stage.stdout.block()
        stage.stderr.leave()
        await clients.strangers(300)
        stage.configure()
        stage.reload()
        if stage.workers > 1:
            await self.events.worker_killed()
            await asyncio.to_thread(stage.until_all_workers, SETTLE_S)
        await asyncio.sleep(BETWEEN_S)
        answered = [await clients.ask("chat", number % 2 == 0) for number in range(AFTERWARDS)]
        there = stage.workers == 1 or len(stage.worker_pids()) == stage.workers
        return sum(status == 200 for status in answered) / AFTERWARDS if there else 0.0

    async def _watch_memory(self) -> None:
        while True:
            self.memory_mib.append(await asyncio.to_thread(self.stage.rss_mib))
            await asyncio.sleep(1)

    async def _settled(self) -> float:
        """Wait until nothing is in flight and no more lines come; what is in flight then."""
        deadline = time.monotonic() + SETTLE_S
        in_flight, lines = float("inf"), -1
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                in_flight = await asyncio.to_thread(self.stage.metric, "penstock_in_flight")
            if in_flight == 0 and lines == self.ledger.lines:
                break
            lines = self.ledger.lines
            await asyncio.sleep(1.0)
        return in_flight

    def _say(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)


def parse_options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak-chaos", description="What holds while everything goes wrong.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--python", type=Path, metavar="PATH", help="run the penstock beside this interpreter")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Exit status 0 when every law held, 1 when one was broken, 2 when it could not be run."""
    options = parse_options(argv)
    ledger = Ledger()
    lock = threading.Lock()

    def on_line(request_id: str) -> None:
        with lock:
            ledger.line(request_id)

    with alone(), tempfile.TemporaryDirectory(prefix="chaos-") as work:
        try:
            with Stage(Path(work), program_of(options.python), options.workers, on_line) as stage:
                clients = Clients(stage.port, ledger)
                chaos = Chaos(stage, clients, ledger, options.minutes)
                figures = asyncio.run(chaos.run())
        except (ChaosError, StallError) as error:
            print(f"soak-chaos: {error}", file=sys.stderr)
            return 2
    found = laws(figures)
    counts = clients.counts
    print(f"{options.minutes:g} min: " + ", ".join(f"{name} {count}x" for name, count in chaos.happened.items()))
    statuses = ", ".join(f"{status} {count}x" for status, count in sorted(counts.statuses.items()))
    print(
        f"answered: {statuses}; cut {counts.cut}, no connection {counts.refused}; abandoned uploads {counts.uploads},"
        f" slow readers {counts.slow}, garbage {counts.garbage}"
    )
    if options.workers > 1:
        print(f"while a killed worker was replaced, /health took {chaos.events.seat_wait_s:.2f} s at most")
    print(render(found))
    if options.json:
        options.json.write_text(json.dumps(asdict(figures), indent=1) + "\n")
    return 0 if all(law.held for law in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
