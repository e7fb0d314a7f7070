"""How soon a canary that dies gets nothing more, over all workers and gateways: `python -m tests.timing.rollback`.

Two gateways of two workers share a PostgreSQL, and a release has a fifth of a model's requests, which come at a steady
rate through both. Again and again the canary, which was well, answers nothing but 500s. Prints the time from its second
failure, before which nothing can decide, to the last request that reached it, whoever sent that; what the decision took
is within. Exits with 1 where that was a second or more, or a client saw a failure.

    python -m tests.timing.rollback [--rounds 20] [--rate 100]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx

from tests.gateway.served import Served
from tests.gateway.store import postgresql
from tests.scenario.upstream import Answer, Received, plain, running_upstream

GATEWAYS: Final = 2
WORKERS: Final = 2
SHARE: Final = 20
MOST_S: Final = 1.0
SEEN_BEFORE: Final = 10
"""Requests of the canary, before it dies: all workers know its share."""
QUIET_S: Final = 2.0
"""Without a request to the canary: it is rolled back everywhere."""
STUCK_S: Final = 30.0
ADMIN: Final = "sk-admin"
KEY: Final = {"authorization": f"Bearer {ADMIN}"}
BODY: Final = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
USED: Final = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


class Canary:
    """An engine that is told to be ill, and when each request came."""

    def __init__(self) -> None:
        self.dead = False
        self.came_s: list[float] = []
        self.failed_s: list[float] = []

    def answer(self, received: Received) -> Answer:
        self.came_s.append(time.monotonic())
        if not self.dead:
            return plain(USED)
        self.failed_s.append(time.monotonic())
        return Answer([b'{"error":{"message":"CUDA error"}}'], status=500)


def configuration(uds: Path, store: str, control: str, canary: str, home: Path) -> str:
    rails = {"errors": {"alpha": 0.05}, "attempt_failures": {"alpha": 0.05}}
    arms = {"control": {}, "canary": {"targets": [{"engine": "canary"}]}}
    steps = [{"weight": SHARE, "bake_s": 3600}, {"weight": 60}]
    experiment = {"salt": "s1", "unit": "request", "arms": arms, "steps": steps, "guardrails": rails}
    engines = {"control": {"kind": "openai", "base_url": control}, "canary": {"kind": "openai", "base_url": canary}}
    return json.dumps(
        {
            "server": {"uds": str(uds), "workers": WORKERS, "gateways": GATEWAYS},
            "auth": {"keys": [{"id": "ops", "sha256": hashlib.sha256(ADMIN.encode()).hexdigest(), "admin": True}]},
            "engines": engines,
            "models": {"chat": {"targets": [{"engine": "control"}], "experiment": experiment}},
            "breaker": {"min_failures": 100_000},  # the gate alone takes the canary away
            "telemetry": {"access_log": "off"},
            "store": {"url": store},
            "data_dir": str(home),
        }
    )


@contextlib.asynccontextmanager
async def gateways(home: Path, store: str, control: str, canary: str) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of gateways that serve."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(GATEWAYS):
            uds, file, data = home / f"{number}.sock", home / f"{number}.yaml", home / f"data-{number}"
            data.mkdir()
            file.write_text(configuration(uds, store, control, canary, data))
            words = (sys.executable, "-m", "gateway", "serve", "--config", file)
            process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.DEVNULL)
            stack.push_async_callback(ended, process)
            await Served(process, file, uds).started()
            transport = httpx.AsyncHTTPTransport(uds=str(uds))
            client = httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=30.0, headers=KEY)
            clients.append(await stack.enter_async_context(client))
        yield clients


async def ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


async def ask(clients: list[httpx.AsyncClient], rate: float, failed: list[str]) -> None:
    """Requests at a steady rate, through one gateway after the other, however long each takes."""
    async with asyncio.TaskGroup() as group:
        began_s, sent = time.monotonic(), 0
        while True:
            group.create_task(ask_one(clients[sent % len(clients)], failed))
            sent += 1
            await asyncio.sleep(max(0.0, began_s + sent / rate - time.monotonic()))


async def ask_one(client: httpx.AsyncClient, failed: list[str]) -> None:
    answer = await client.post("/v1/chat/completions", json=BODY)
    if answer.status_code != 200:
        failed.append(f"{answer.status_code}: {answer.text[:200]}")


async def until(what: str, true: Any) -> None:
    try:
        async with asyncio.timeout(STUCK_S):
            while not true():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise SystemExit(f"never within {STUCK_S:.0f} s: {what}") from None


async def died(canary: Canary) -> tuple[float, int]:
    """The canary dies: how long after its second failure the last request reached it, and how many after that did."""
    before = len(canary.came_s)
    await until("the canary has its share", lambda: len(canary.came_s) >= before + SEEN_BEFORE)
    canary.failed_s.clear()
    canary.dead = True
    await until("it fails twice", lambda: len(canary.failed_s) >= 2)
    await until("it gets nothing more", lambda: time.monotonic() - canary.came_s[-1] > QUIET_S)
    canary.dead = False
    return canary.came_s[-1] - canary.failed_s[1], len(canary.failed_s) - 2


async def measure(rounds: int, rate: float) -> int:
    canary = Canary()
    failed: list[str] = []
    found: list[tuple[float, int]] = []
    with postgresql.running() as server, tempfile.TemporaryDirectory(prefix="penstock-rollback-") as name:
        async with (
            running_upstream(lambda received: plain(USED)) as control,
            running_upstream(canary.answer) as other,
            gateways(Path(name), server.url, f"{control.url}/v1", f"{other.url}/v1") as clients,
        ):
            asking = asyncio.ensure_future(ask(clients, rate, failed))
            for number in range(rounds):
                if number:
                    started = await clients[number % len(clients)].post("/admin/v1/experiments/start?model=chat")
                    started.raise_for_status()
                found.append(await died(canary))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    delays = sorted(one for one, _ in found)
    more = sorted(one for _, one in found)
    print(f"{GATEWAYS} gateways of {WORKERS} workers, PostgreSQL, {rate:g} requests/s, a canary with {SHARE} %")
    print("| times it died | from its second failure to its last request: median | longest | requests: median | most |")
    print("|---|---|---|---|---|")
    print(
        f"| {rounds} | {1e3 * delays[rounds // 2]:.0f} ms | {1e3 * delays[-1]:.0f} ms "
        f"| {more[rounds // 2]} | {more[-1]} |"
    )
    print(f"Requests that failed at a client: {len(failed)}" + (f", such as {failed[0]}" if failed else ""))
    return 0 if delays[-1] < MOST_S and not failed else 1


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.timing.rollback", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    options = parser.parse_args(argv)
    return asyncio.run(measure(options.rounds, options.rate))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
