"""`python -m loadtests.peers`: one workload through each gateway in front of simulated vLLM replicas, and one table.

Each round of a gateway has replicas of its own, started for it with empty caches, and all gateways have their turn in a
round before any has its next. The hit rate is what the replicas counted, not what anybody reports of himself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from msgspec.structs import replace

from loadtests.peers.commands import API_KEY
from loadtests.peers.environments import PeerError
from loadtests.peers.fleets import DEFAULT, MODEL, fleet_command
from loadtests.peers.table import PeerRound, PeerRow, figures, table
from loadtests.peers.traffic import GOOD_RATIO, KINDS, cold
from loadtests.processes.launched import Launched, free_port
from loadtests.processes.machine import alone
from loadtests.run.run import RunError, execute
from loadtests.scenario.facts import of_metrics
from loadtests.schedule.arrivals import Poisson
from loadtests.schedule.plan import Plan
from loadtests.statistics.columns import columns
from loadtests.statistics.honesty import examine
from loadtests.statistics.slo import parse_slo
from loadtests.statistics.window import fixed_window

READY_S = 90.0
_POLL_S = 0.05


class Peers:
    """The comparison, round by round."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options = options
        self.work = work
        self.slo = parse_slo(options.slo)
        self.rows = [PeerRow(name) for name in options.gateways.split(",") if name]
        cores = sorted(os.sched_getaffinity(0))
        self.gateway_cores = {cores[-1]}
        self.other_cores = set(cores[:-1]) or set(cores)
        self.traffic = KINDS[options.traffic]
        self.plan = Plan(
            target="http://127.0.0.1",
            model=MODEL,
            arrivals=Poisson(rate_per_s=options.rate / self.traffic.turns),
            duration_s=options.duration,
            drain_s=10.0,
            timeout_s=30.0,
            cores=tuple(sorted(self.other_cores)[:1]),
            headers={"authorization": f"Bearer {API_KEY}"},
            slo=self.slo,
            workload_spec=self.traffic.workload,
        )

    def run(self) -> None:
        """Every gateway, every round."""
        for number in range(self.options.rounds):
            for row in self.rows:
                if row.problems:
                    continue
                print(f"round {number + 1} of {self.options.rounds}: {row.name}", file=sys.stderr, flush=True)
                try:
                    row.rounds.append(self._delivered(row, number, self.options.rate))
                except (PeerError, RunError) as error:
                    row.problems.append(str(error))
        for row in self.rows if self.options.capacity else ():
            self._seek(row)

    def _seek(self, row: PeerRow) -> None:
        """Find the rate up to which a gateway meets the objective for nine requests of ten."""
        for rate in self.traffic.capacity_rates:
            if row.problems:
                return
            print(f"capacity: {row.name} at {rate:g}/s", file=sys.stderr, flush=True)
            try:
                found = self._delivered(row, int(rate), rate)
            except (PeerError, RunError) as error:
                row.problems.append(str(error))
                return
            good = figures(PeerRow(row.name, [found]), self.slo)["attainment"] or 0.0
            row.tried.append((rate, good))
            if good < GOOD_RATIO:
                return

    def _delivered(self, row: PeerRow, number: int, rate: float) -> PeerRound:
        """A round, again when the client was late: a neighbour on the machine is no property of a gateway."""
        for attempt in range(self.options.tries):
            done, reasons = self._round(row, number, attempt, rate)
            if not reasons:
                break
            print(f"  not delivered: {'; '.join(reasons)}", file=sys.stderr, flush=True)
        row.problems += [f"round {number + 1}: {reason}" for reason in reasons]
        return done

    def _round(self, row: PeerRow, number: int, attempt: int, rate: float) -> tuple[PeerRound, list[str]]:
        """What was measured, and why it must not be believed."""
        work = self.work / f"{row.name.replace(':', '-')}-{rate:g}-{number}-{attempt}"
        work.mkdir()
        processes: list[Launched] = []
        try:
            urls = []
            for replica in range(self.options.replicas):
                port = free_port()
                urls.append(f"http://127.0.0.1:{port}")
                processes.append(Launched(self._simulator(port), self.other_cores, work / f"replica-{replica}.log"))
            for url, process in zip(urls, processes, strict=True):
                self._until(url, process)
            port = free_port()
            command = fleet_command(row.name, port, urls, work)
            gateway = Launched(command.argv, self.gateway_cores, work / "gateway.log", command.env)
            processes.append(gateway)
            url = f"http://127.0.0.1:{port}"
            self._until(url, gateway, ask=True)
            return self._measure(row, number, rate, url, gateway, urls, work)
        finally:
            for process in reversed(processes):
                process.stop()

    def _simulator(self, port: int) -> list[str]:
        options = self.options
        program = str(Path(sys.executable).with_name("penstock"))
        knobs = {
            "model": MODEL,
            "ttft-ms": options.ttft_ms,
            "itl-ms": options.itl_ms,
            "prefill-ms-per-token": options.prefill_ms,
            "prefill-tokens-per-s": options.prefill_tokens_per_s,
            "kv-cache-blocks": options.cache_blocks,
            "max-model-len": min(32_768, options.cache_blocks * 16),
        }
        # Replicas and client may have to share a core, and it is the client's clock that everything is read from.
        nice = [found, "-n", "5"] if (found := shutil.which("nice")) else []
        words = [word for name, value in knobs.items() for word in (f"--{name}", str(value))]
        return [*nice, program, "simulate", "--port", str(port), *words]

    def _measure(
        self, row: PeerRow, number: int, rate: float, url: str, gateway: Launched, replicas: list[str], work: Path
    ) -> tuple[PeerRound, list[str]]:
        before, cpu_s = [scrape(replica) for replica in replicas], gateway.cpu_s()
        arrivals = Poisson(rate_per_s=rate / self.traffic.turns)
        plan = replace(self.plan, target=url, seed=number, arrivals=arrivals)
        result = execute(plan, work / "run")
        cpu_s = gateway.cpu_s() - cpu_s
        after = [scrape(replica) for replica in replicas]
        run = columns(result.records)
        honesty = examine(run, result.started_ns, result.ran_s, open_loop=True, workers=result.loads())
        failed = {kind: count for kind, count in run.error.counts().items() if kind}
        if failed:
            row.problems.append(f"round {number + 1}: {sum(failed.values())} of {len(run)} failed: {failed}")
        window = fixed_window(result.started_ns, plan.duration_s, self.options.warm_up)
        measured = PeerRound(
            run=run.take(window.scheduled(run)),
            window_s=window.length_s,
            requests=len(run),
            cpu_s=cpu_s,
            hit_tokens=grown(before, after, "metrics.vllm:prefix_cache_hits_total"),
            queried_tokens=grown(before, after, "metrics.vllm:prefix_cache_queries_total"),
            served=tuple(
                int(grown([b], [a], "metrics.vllm:request_success_total")) for b, a in zip(before, after, strict=True)
            ),
            cold=cold(result.records, window.start_ns),
        )
        return measured, honesty.reasons

    def _until(self, url: str, process: Launched, ask: bool = False) -> None:
        """Until it is healthy; with `ask`, until it answers a chat request. Raises PeerError."""
        deadline = time.monotonic() + READY_S
        wrong = ""
        while time.monotonic() < deadline:
            if not process.running():
                raise PeerError(f"it ended at once: {process.log_tail(2)}")
            try:
                if ask:
                    body = {"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "are you there"}]}
                    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode())
                    request.add_header("content-type", "application/json")
                    request.add_header("authorization", f"Bearer {API_KEY}")
                    urllib.request.urlopen(request, timeout=10).close()
                else:
                    urllib.request.urlopen(f"{url}/health", timeout=2).close()
            except OSError as error:
                wrong = str(error)
                time.sleep(_POLL_S)
                continue
            return
        raise PeerError(f"it does not answer after {READY_S:g} s: {wrong}")


def scrape(url: str) -> dict[str, float | None]:
    """A replica's own counters."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        return of_metrics(answer.read().decode())


def grown(before: list[dict[str, float | None]], after: list[dict[str, float | None]], name: str) -> float:
    """How much a counter grew, over all replicas."""
    return sum((b.get(name) or 0.0) for b in after) - sum((b.get(name) or 0.0) for b in before)


def parse_options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers", description=__doc__)
    parser.add_argument("--gateways", default=",".join(DEFAULT), help="NAME or NAME:POLICY, with commas between them")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tries", type=int, default=3, help="of a round in which the client was late")
    parser.add_argument("--traffic", choices=list(KINDS), default="prefixes", help="see loadtests/peers/traffic.py")
    parser.add_argument("--capacity", action="store_true", help="also find the rate that each carries")
    parser.add_argument("--duration", type=float, default=60.0, metavar="S", help="of a round")
    parser.add_argument("--warm-up", type=float, default=30.0, metavar="S", help="of that; caches begin empty")
    parser.add_argument("--rate", type=float, help="requests per second, Poisson")
    parser.add_argument("--slo")
    parser.add_argument("--ttft-ms", type=float, default=20.0, help="of a replica, beside prefill")
    parser.add_argument("--itl-ms", type=float, default=8.0)
    parser.add_argument("--prefill-ms", type=float, help="per prompt token that is not in the cache")
    parser.add_argument("--prefill-tokens-per-s", type=float, help="of a replica, prompts in turn; 0: side by side")
    parser.add_argument("--cache-blocks", type=int, help="of 16 tokens, of each replica")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args(argv)
    traffic = KINDS[options.traffic]
    usual = {
        "rate": traffic.rate_per_s,
        "slo": traffic.slo,
        "prefill_ms": traffic.prefill_ms,
        "prefill_tokens_per_s": traffic.prefill_tokens_per_s,
        "cache_blocks": traffic.cache_blocks,
    }
    for name, value in usual.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def main(argv: list[str]) -> int:
    options = parse_options(argv)
    with alone(), tempfile.TemporaryDirectory() as directory:
        peers = Peers(options, Path(directory))
        peers.run()
    if options.json:
        found = [{"name": row.name, **figures(row, peers.slo), "problems": row.problems} for row in peers.rows]
        options.json.write_text(json.dumps(found, indent=1))
    print(table(peers.rows, peers.slo))
    return 1 if any(row.problems for row in peers.rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
