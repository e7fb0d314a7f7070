"""One round of one gateway: replicas with empty caches and the gateway are started for it, asked, and stopped."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from loadtests.client.record import Record
from loadtests.peers.commands import API_KEY
from loadtests.peers.environments import PeerError
from loadtests.peers.fleets import MODEL, fleet_command
from loadtests.peers.table import PeerRound
from loadtests.peers.traffic import KINDS, cold
from loadtests.processes.launched import Launched, free_port
from loadtests.run.run import execute
from loadtests.scenario.facts import of_metrics
from loadtests.schedule.arrivals import Arrivals, Poisson
from loadtests.schedule.plan import Plan
from loadtests.statistics.columns import Columns, columns
from loadtests.statistics.honesty import examine
from loadtests.statistics.slo import parse_slo
from loadtests.statistics.window import fixed_window

READY_S = 90.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Load:
    """What a gateway is asked in a round. `number` is the seed: rounds of one number are asked the same."""

    arrivals: Arrivals
    """Of conversations, where the traffic is of those."""
    duration_s: float
    warm_up_s: float
    number: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a round."""

    round: PeerRound
    records: list[Record]
    whole: Columns
    """Warm-up included."""
    started_ns: int
    failed: dict[str, int]
    """Requests by kind of failure."""
    reasons: list[str]
    """Why it must not be believed."""


class Rounds:
    """Makes rounds of one kind of traffic, each in a directory of its own under `work`."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options = options
        self.work = work
        self.slo = parse_slo(options.slo)
        cores = sorted(os.sched_getaffinity(0))
        self.gateway_cores = {cores[-1]}
        self.other_cores = set(cores[:-1]) or set(cores)
        # Near the capacity of the replicas they and the client want more than a core, and the gateway less than one.
        self.replica_cores = set(cores) if options.bars else self.other_cores
        self.traffic = KINDS[options.traffic]
        self._made = 0
        self._plan = Plan(
            target="http://127.0.0.1",
            model=MODEL,
            drain_s=10.0,
            timeout_s=30.0,
            cores=tuple(sorted(self.other_cores)[:1]),
            headers={"authorization": f"Bearer {API_KEY}"},
            slo=self.slo,
            workload_spec=self.traffic.workload,
        )

    def steady(self, rate_per_s: float, number: int) -> Load:
        """So many requests per second, as long as the options say."""
        arrivals = Poisson(rate_per_s=rate_per_s / self.traffic.turns)
        return Load(arrivals, self.options.duration, self.options.warm_up, number)

    def delivered(self, name: str, load: Load) -> Measured:
        """A round, again when the client was late: a neighbour on the machine is no property of a gateway.

        Raises PeerError and RunError.
        """
        done = self._round(name, load)
        for _ in range(1, self.options.tries):
            if not done.reasons:
                break
            print(f"  not delivered: {'; '.join(done.reasons)}", file=sys.stderr, flush=True)
            done = self._round(name, load)
        return done

    def _round(self, name: str, load: Load) -> Measured:
        self._made += 1
        work = self.work / f"{name.replace(':', '-')}-{self._made}"
        work.mkdir()
        processes: list[Launched] = []
        try:
            urls = []
            for replica in range(self.options.replicas):
                port = free_port()
                urls.append(f"http://127.0.0.1:{port}")
                processes.append(Launched(self._simulator(port), self.replica_cores, work / f"replica-{replica}.log"))
            for url, process in zip(urls, processes, strict=True):
                until_healthy(url, process)
            port = free_port()
            command = fleet_command(name, port, urls, work, self.options.compiled_python)
            gateway = Launched(command.argv, self.gateway_cores, work / "gateway.log", command.env)
            processes.append(gateway)
            url = f"http://127.0.0.1:{port}"
            until_healthy(url, gateway, ask=True)
            return self._measure(load, url, gateway, urls, work)
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

    def _measure(self, load: Load, url: str, gateway: Launched, replicas: list[str], work: Path) -> Measured:
        before, cpu_s = [scrape(replica) for replica in replicas], gateway.cpu_s()
        plan = replace(self._plan, target=url, seed=load.number, arrivals=load.arrivals, duration_s=load.duration_s)
        result = execute(plan, work / "run")
        cpu_s = gateway.cpu_s() - cpu_s
        after = [scrape(replica) for replica in replicas]
        run = columns(result.records)
        honesty = examine(run, result.started_ns, result.ran_s, open_loop=True, workers=result.loads())
        window = fixed_window(result.started_ns, plan.duration_s, load.warm_up_s)
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
        failed = {kind: count for kind, count in run.error.counts().items() if kind}
        return Measured(measured, result.records, run, result.started_ns, failed, honesty.reasons)


def until_healthy(url: str, process: Launched, ask: bool = False) -> None:
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
