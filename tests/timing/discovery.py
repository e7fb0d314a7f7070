"""What following a busy cluster costs, and how soon a deleted pod gets nothing: `python -m tests.timing.discovery`.

A gateway of two workers follows 20 EndpointSlices of 100 pods each, of which 200 a second change, and serves a model by
two other pods; again and again one of these is told to end. Prints the CPU of the gateway's parent, which does nothing
else here, with and without the events, and the last request that a pod got after it was told of. Exits with 1 where the
parent takes 5 % of a core or more, a request came more than 100 ms after the event, or events waited to be read at the
end: who falls behind has little to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from tests.gateway.kubernetes.api_server import ApiServer, endpoint, running_api_server
from tests.gateway.served import Served
from tests.scenario.upstream import Answer, Received, plain, running_upstream

SLICES: Final = 20
ENDPOINTS: Final = 100
PER_SECOND: Final = 200
MEASURED_S: Final = 10.0
ENDS: Final = 20
MOST_CORE: Final = 0.05
MOST_S: Final = 0.1
CLIENTS: Final = 4


def pod(slice_: int, number: int, ready: bool = True) -> Any:
    """One endpoint with all that a real one has."""
    name = f"llama-7c9d8f6b5-{slice_:02}{number:03}"
    node, zone = f"gpu-node-{number % 50}.example.internal", f"eu-1{'abc'[number % 3]}"
    return endpoint(name, f"10.{slice_}.{number // 250}.{number % 250 + 1}", ready=ready, nodeName=node, zone=zone)


def whole(slice_: int, unready: int | None = None) -> list[Any]:
    """A slice, but for one all ready."""
    return [pod(slice_, number, number != unready) for number in range(ENDPOINTS)]


def cpu_s(pid: int) -> float:
    """User and system time of a process, its threads among it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Changes:
    """Events of the slices, made beforehand: whoever sends them shares this process with the requests."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._parts = [
            json.dumps({"type": "MODIFIED", "object": server.slice_of(f"big-{one}", whole(one, unready), 8000, "big")})
            .encode()
            .split(b'"resourceVersion": "0"')
            for unready in range(10)
            for one in range(SLICES)
        ]

    async def send(self, for_s: float) -> int:
        """Have slices change at the rate; returns how many did."""
        began_s, sent = time.monotonic(), 0
        while (now := time.monotonic() - began_s) < for_s:
            if sent < now * PER_SECOND:
                self._server.version += 1
                before, after = self._parts[sent % len(self._parts)]
                version = b'"resourceVersion": "%d"' % self._server.version
                for watch in self._server.watches:
                    if watch.service == "big":
                        watch.put(before + version + after + b"\n")
                sent += 1
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(0.001)
        return sent


class Pods:
    """The two that serve, and when each was asked."""

    def __init__(self) -> None:
        self.asked_s: dict[str, list[float]] = {"one": [], "two": []}

    def answering(self, name: str) -> Any:
        def answer(received: Received) -> Answer:
            self.asked_s[name].append(time.monotonic())
            return plain({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})

        return answer


async def ask(client: httpx.AsyncClient) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    while True:
        (await client.post("/v1/chat/completions", json=body)).raise_for_status()


async def ended(server: ApiServer, pods: Pods, port: int, asking: list[asyncio.Task[None]]) -> float:
    """Have one of the two end; how long after its event the last request reached it."""
    server.put("small-one", [endpoint("one", "127.0.0.1", ready=False, terminating=True)], port, "small")
    told_s = time.monotonic()
    await asyncio.sleep(0.4)
    last_s = max((at for at in pods.asked_s["one"] if at > told_s), default=told_s) - told_s
    server.put("small-one", [endpoint("one", "127.0.0.1")], port, "small")
    count = len(pods.asked_s["one"])
    while len(pods.asked_s["one"]) < count + 5:
        await asyncio.wait(asking, timeout=0.005, return_when=asyncio.FIRST_COMPLETED)
        for task in asking:
            if task.done():
                task.result()
    return last_s


def configuration(server: ApiServer, uds: Path) -> str:
    def engine(service: str) -> dict[str, Any]:
        place = {"service": service, "namespace": "default", "api_url": server.url}
        return {"kind": "openai", "discover": {"kubernetes": place}}

    return json.dumps(
        {
            "server": {"uds": str(uds), "workers": 2},
            "auth": {"open": True},
            "engines": {"big": engine("big"), "small": engine("small")},
            "models": {"m": {"targets": [{"engine": "small"}]}, "other": {"targets": [{"engine": "big"}]}},
            "telemetry": {"access_log": "off"},
            "store": {"url": "off"},
        }
    )


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="penstock-discovery-") as name:
        yield Path(name)


async def measure() -> int:
    pods = Pods()
    async with (
        running_api_server() as server,
        running_upstream(pods.answering("one")) as one,
        running_upstream(pods.answering("two")) as two,
    ):
        for number in range(SLICES):
            server.put(f"big-{number}", whole(number), service="big")
        ports = {"one": int(one.url.rpartition(":")[2]), "two": int(two.url.rpartition(":")[2])}
        for name, port in ports.items():
            server.put(f"small-{name}", [endpoint(name, "127.0.0.1")], port, "small")
        with directory() as home:
            uds, file = home / "gateway.sock", home / "penstock.yaml"
            file.write_text(configuration(server, uds))
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", "serve", "--config", file)
            served = Served(process, file, uds)
            try:
                await started(served)
                await server.until_watched(2)
                return await figures(served, server, pods, ports["one"], uds)
            finally:
                process.terminate()
                await process.wait()


async def started(served: Served) -> None:
    """Wait for the gateway, for minutes on a busy machine."""
    for _ in range(5):
        with contextlib.suppress(TimeoutError):
            return await served.started()
    raise TimeoutError("the gateway does not start")


async def figures(served: Served, server: ApiServer, pods: Pods, port: int, uds: Path) -> int:
    await asyncio.sleep(3.0)
    before = cpu_s(served.pid)
    await asyncio.sleep(MEASURED_S)
    idle = (cpu_s(served.pid) - before) / MEASURED_S
    changes = Changes(server)
    before = cpu_s(served.pid)
    sent = await changes.send(MEASURED_S)
    await asyncio.sleep(0.5)
    busy = (cpu_s(served.pid) - before) / MEASURED_S
    behind = max(len(watch.lines) for watch in server.watches)
    print(
        f"{SLICES} slices of {ENDPOINTS} endpoints, {sent / MEASURED_S:.0f} slice events/s, {behind} unread at the end"
    )
    print(f"CPU of the parent: {100 * busy:.1f} % of a core, {100 * idle:.1f} % without events")

    transport = httpx.AsyncHTTPTransport(uds=str(uds), limits=httpx.Limits(max_connections=CLIENTS))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=30.0) as client:
        asking = [asyncio.ensure_future(ask(client)) for _ in range(CLIENTS)]
        changing = asyncio.ensure_future(changes.send(1e9))
        await asyncio.sleep(1.0)
        lasts = sorted([await ended(server, pods, port, asking) for _ in range(ENDS)])
        rate = len(pods.asked_s["two"]) / (max(pods.asked_s["two"]) - min(pods.asked_s["two"]))
        for task in (*asking, changing):
            task.cancel()
        await asyncio.gather(*asking, changing, return_exceptions=True)
    print(
        f"last request after a pod's deletion was told, {ENDS} times, at {rate:.0f} requests/s and the same events: "
        f"median {1e3 * lasts[ENDS // 2]:.1f} ms, longest {1e3 * lasts[-1]:.1f} ms"
    )
    return 0 if busy < MOST_CORE and lasts[-1] < MOST_S and not behind else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(measure()))
