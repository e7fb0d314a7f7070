"""The comparison, round by round: a gateway for each round, in front of the same replicas with emptied caches.

All policies have their turn at a rate before any has its next, and get the same requests in a round. Rates are given
in units of what the replicas compute when nothing is shared, so that one command loads a small machine and a large one
alike.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from pathlib import Path

from msgspec.structs import replace

from loadtests.peers.commands import Command
from loadtests.peers.environments import PeerError
from loadtests.peers.rounds import grown, scrape
from loadtests.peers.table import PeerRound, PeerRow, figures
from loadtests.peers.traffic import cold
from loadtests.processes.launched import Launched, free_port
from loadtests.run.run import RunResult, execute
from loadtests.schedule.arrivals import Poisson
from loadtests.schedule.plan import Plan
from loadtests.statistics.columns import Columns, columns
from loadtests.statistics.honesty import examine
from loadtests.statistics.slo import parse_slo
from loadtests.statistics.window import fixed_window
from loadtests.vllm.cores import Cores
from loadtests.vllm.replicas import MODEL, Replicas
from loadtests.vllm.table import Knowledge, VllmRound
from loadtests.workloads.spec import Prefixes, Synthetic

OWN_WORDS = 64
USERS_PER_REPLICA = 6
"""Of the closed loop that finds what replicas compute cold: enough that none waits for work."""
COLD_S = 15.0
COLD_SEED = 1_000_000
"""Of that loop: its texts are those of no round."""
READY_S = 60.0
_POLL_S = 0.05


class Comparison:
    """Rounds over running replicas."""

    def __init__(self, options: argparse.Namespace, replicas: Replicas, cores: Cores, work: Path) -> None:
        self.options = options
        self.replicas = replicas
        self.cores = cores
        self.work = work
        self.slo = parse_slo(options.slo)
        self.rounds: list[VllmRound] = []
        self.problems: list[str] = []

    def cold_rate_per_s(self) -> float:
        """Requests per second that the replicas answer together when no prompt begins like another."""
        words = self.options.prefix_words + OWN_WORDS
        workload = Synthetic(own_words=words, output_tokens=self.options.output_tokens)
        users = USERS_PER_REPLICA * len(self.replicas.urls)
        plan = self._plan(workload, seed=COLD_SEED, users=users)
        with self._gateway("round_robin", "cold") as gateway:
            result = execute_at(plan, gateway.url, self.work / "cold-run")
        run = columns(result.records)
        # The first quarter warms up; what was under way at the end had its answer later, and is no part of it.
        from_ns, until_ns = (result.started_ns + int(plan.duration_s * 1e9 * part) for part in (0.25, 1.0))
        answered = int((run.ok & (run.te > from_ns) & (run.te <= until_ns)).sum())
        if not answered:
            raise PeerError("the replicas answered nothing")
        return answered / ((until_ns - from_ns) / 1e9)

    def run(self, rates: tuple[float, ...]) -> None:
        """Every policy at every rate, every round. Raises PeerError and RunError."""
        for number in range(self.options.rounds):
            for rate in rates:
                for policy in self.options.policies:
                    made = self._round(policy, rate, number)
                    self.rounds.append(made)
                    say(f"round {number + 1} of {self.options.rounds}, {rate:.1f}/s, {policy}: {self._line(made)}")

    def _line(self, made: VllmRound) -> str:
        found = figures(PeerRow(made.policy, [made.measured]), self.slo)
        shown = {name: "-" if value is None else f"{value:.4g}" for name, value in found.items()}
        return f"{' '.join(f'{name}={value}' for name, value in shown.items())} {made.knowledge}"

    def _plan(self, workload: Synthetic, seed: int, users: int = 0, rate: float = 1.0) -> Plan:
        return Plan(
            target="http://127.0.0.1",  # of the gateway that is started for it
            model=MODEL,
            arrivals=Poisson(rate_per_s=rate),
            users=users,
            duration_s=min(self.options.duration, COLD_S) if users else self.options.duration,
            drain_s=10.0,
            timeout_s=60.0,
            seed=seed,
            cores=self.cores.client,
            slo=self.slo,
            workload_spec=workload,
        )

    def _round(self, policy: str, rate: float, number: int) -> VllmRound:
        self.replicas.forget()
        options = self.options
        prefixes = Prefixes(groups=options.groups, words=options.prefix_words, zipf=0.8)
        workload = Synthetic(own_words=OWN_WORDS, output_tokens=options.output_tokens, prefixes=prefixes)
        name = f"{policy}-{rate:.1f}-{number}"
        with self._gateway(policy, name) as gateway:
            before, cpu_s = [scrape(url) for url in self.replicas.urls], gateway.process.cpu_s()
            plan = self._plan(workload, seed=number, rate=rate)
            result = execute_at(plan, gateway.url, self.work / f"{name}-run")
            cpu_s = gateway.process.cpu_s() - cpu_s
            after = [scrape(url) for url in self.replicas.urls]
            knowledge = known(scrape(gateway.url))
        return VllmRound(rate, policy, self._measured(result, name, cpu_s, before, after), knowledge)

    def _measured(
        self,
        result: RunResult,
        name: str,
        cpu_s: float,
        before: list[dict[str, float | None]],
        after: list[dict[str, float | None]],
    ) -> PeerRound:
        run, plan = columns(result.records), result.plan
        honesty = examine(run, result.started_ns, result.ran_s, open_loop=True, workers=result.loads())
        failed = {kind: count for kind, count in run.error.counts().items() if kind}
        self.problems += [f"{name}: {reason}" for reason in honesty.reasons]
        if failed:
            self.problems.append(f"{name}: {sum(failed.values())} of {len(run)} failed: {failed}")
        window = fixed_window(result.started_ns, plan.duration_s, self.options.warm_up)
        seen = run.take(window.scheduled(run))
        hit_tokens, queried_tokens = cached(seen)
        return PeerRound(
            run=seen,
            window_s=window.length_s,
            requests=len(run),
            cpu_s=cpu_s,
            hit_tokens=hit_tokens,
            queried_tokens=queried_tokens,
            served=tuple(
                int(grown([b], [a], "metrics.vllm:request_success_total")) for b, a in zip(before, after, strict=True)
            ),
            cold=cold(result.records, window.start_ns),
        )

    def _gateway(self, policy: str, name: str) -> RunningGateway:
        home = self.work / name
        home.mkdir()
        config = home / "penstock.yaml"
        made = gateway_config(self.replicas.urls, self.replicas.sockets, home, policy)
        config.write_text(json.dumps(made, indent=1))  # JSON is YAML
        port = free_port()
        place = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        command = Command([sys.executable, "-m", "gateway", "serve", *place])
        return RunningGateway(f"http://127.0.0.1:{port}", command, self.cores, home / "gateway.log")


class RunningGateway:
    """A gateway that answers inside the block and is stopped after it."""

    def __init__(self, url: str, command: Command, cores: Cores, log: Path) -> None:
        self.url = url
        self.process = Launched(command.argv, cores.gateway, log, command.env)

    def __enter__(self) -> RunningGateway:
        deadline = time.monotonic() + READY_S
        while not self._answers():
            if not self.process.running() or time.monotonic() > deadline:
                said = self.process.log_tail(4)
                self.process.stop()
                raise PeerError(f"the gateway does not answer: {said}")
            time.sleep(_POLL_S)
        return self

    def _answers(self) -> bool:
        """Whether a chat request is answered, which takes a replica that the gateway has found healthy."""
        body = {"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "are you there"}]}
        request = urllib.request.Request(f"{self.url}/v1/chat/completions", json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except OSError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        self.process.stop()


def gateway_config(urls: list[str], sockets: Path, home: Path, policy: str) -> dict[str, object]:
    """One engine with all replicas, whose KV events are followed, and one model with the policy."""
    events = {"endpoint": f"ipc://{sockets}/{{port}}", "replay_endpoint": f"ipc://{sockets}/{{port}}-replay"}
    return {
        "engines": {"pool": {"kind": "vllm", "replicas": [{"url": url} for url in urls], "kv_events": events}},
        "models": {MODEL: {"targets": [{"engine": "pool", "model": MODEL}], "policy": {"name": policy}}},
        "telemetry": {"access_log": str(home / "access.log")},
        "data_dir": str(home / "data"),
    }


def cached(run: Columns) -> tuple[int, int]:
    """Prompt tokens that were found in a cache, and all of them, by the usage of the answers.

    Not by vLLM's counters: in older versions (0.26) a prompt that waits for room is counted each time it is looked for.
    """
    reported = (run.prompt_tokens > 0) & (run.cached_tokens >= 0)
    return int(run.cached_tokens[reported].sum()), int(run.prompt_tokens[reported].sum())


def known(scraped: dict[str, float | None]) -> Knowledge:
    """From the gateway's own metrics."""
    reported = scraped.get("metrics.penstock_prefix_reported") or 0.0
    error = scraped.get("metrics.penstock_prefix_predicted_error_ratio")
    return Knowledge(
        error_ratio=error / reported if error is not None and reported else None,
        by_events=int(scraped.get("metrics.penstock_prefix_mode:events") or 0),
    )


def execute_at(plan: Plan, url: str, out: Path) -> RunResult:
    """The plan, sent to where the gateway listens."""
    return execute(replace(plan, target=url), out)


def say(line: str) -> None:
    """Progress, on standard error."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)
