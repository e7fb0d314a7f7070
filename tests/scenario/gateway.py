"""The whole gateway in the test's own event loop, joined as `gateway.serve` joins it with one worker.

Every scenario ends with the same claim, made by `running_gateway` itself: whatever happened, nothing is left in
flight, neither in the gauges nor in what routing knows of any replica.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import pathlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from gateway.accounts.record import RequestRecord
from gateway.admin.port import AdminPort
from gateway.control.configuration.source import Source
from gateway.control.plane import Plane
from gateway.http.listen import bind, server_certificate, url_of
from gateway.links.link import LocalLink
from gateway.process.side_ports import SidePorts
from gateway.process.supervisor import Supervisor
from gateway.workers.worker import Worker

KEY = "sk-of-the-tests"
AUTH = {"keys": [{"id": "tests", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "tenant": "testers"}]}
HELLO = [{"role": "user", "content": "hello"}]
LONGEST_S = 60.0
"""What is waited for comes at once, but on a machine that is busy with other things; a bound for what never comes."""


class Records:
    """A `RecordSink` that tests can wait on."""

    def __init__(self) -> None:
        self.all: list[RequestRecord] = []
        self._came = asyncio.Event()

    def write(self, record: RequestRecord) -> None:
        self.all.append(record)
        self._came.set()

    async def of(self, number: int = 0) -> RequestRecord:
        """The record of this number, once it is written."""
        while len(self.all) <= number:
            self._came.clear()
            await asyncio.wait_for(self._came.wait(), LONGEST_S)
        return self.all[number]


class Exposition:
    """A scrape of /metrics."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples called `name` that carry `labels`; 0 when there is none."""
        wanted = labels.items()
        return sum(s.value for s in self._samples if s.name == name and wanted <= s.labels.items())

    def labelled(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The samples called `name` that are not 0, by the values of these labels."""
        found: dict[tuple[str, ...], float] = {}
        for sample in self._samples:
            if sample.name == name and sample.value:
                key = tuple(sample.labels[label] for label in labels)
                found[key] = found.get(key, 0.0) + sample.value
        return found


@dataclass
class Gateway:
    """A running gateway and what tests look at."""

    url: str
    worker: Worker
    plane: Plane
    records: Records
    ports: SidePorts
    http: httpx.AsyncClient
    """A client of it that holds the key."""

    @property
    def admin(self) -> AdminPort | None:
        """The port of its own, where there is one."""
        return self.ports.admin

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def metrics(self) -> Exposition:
        return Exposition((await self.http.get("/metrics")).raise_for_status().text)

    async def chat(
        self, model: str = "chat", *, stream: bool = False, headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        """One chat request, its answer read to the end."""
        body = {"model": model, "messages": HELLO, **({"stream": True} if stream else {}), **fields}
        return await self.http.post("/v1/chat/completions", json=body, headers=headers)

    async def until(self, what: Callable[[], object]) -> None:
        """Let the loop turn until `what` is true."""
        async with asyncio.timeout(LONGEST_S):
            while not what():
                await asyncio.sleep(0)

    async def metric(self, wanted: float, name: str, **labels: str) -> None:
        """Scrape until the metric has this value."""
        async with asyncio.timeout(LONGEST_S):
            while (await self.metrics()).value(name, **labels) != wanted:
                pass

    @property
    def clients(self) -> list[Any]:
        """The connections of clients; tests look inside."""
        return list(self.worker._connections)

    def in_flight(self) -> dict[str, int]:
        """What is not 0 among the gauges and in the states of the replicas."""
        left = {
            f"series {series.key}": series.in_flight
            for series in self.worker.metrics.snapshot().series
            if series.in_flight
        }
        for state in self.worker.fleet.table:
            for what in ("in_flight_requests", "in_flight_tokens", "prefill_tokens"):
                if count := getattr(state, what):
                    left[f"{what} of {state.key}"] = count
        return left


@asynccontextmanager
async def running_gateway(config: dict[str, Any] | str | pathlib.Path) -> AsyncIterator[Gateway]:
    """A gateway on a free port, keys on, until the block ends; `config` is a document, its text, or a file."""
    if isinstance(config, pathlib.Path):
        source = Source(config)
    else:
        text = config if isinstance(config, str) else json.dumps(document(**config))
        source = Source(None, text, server={"port": 0})
    supervisor = Supervisor()
    plane = Plane(source, supervisor, workers=1)
    sockets = bind(plane.settings.server, 1)
    worker = Worker(supervisor)
    try:
        worker.join(LocalLink(plane.peer("0"), supervisor.spawn))
        assert await plane.attach("0", LocalLink(worker.peer, supervisor.spawn)) == ""
        records = Records()
        worker._accounting.sinks = (*worker._accounting.sinks, records)
        await plane.start()
        await worker.listen(sockets, server_certificate(plane.settings.server))
        ports = SidePorts(plane, supervisor)
        await ports.listen()
        # Or the gateway's own questions mix with a test's requests.
        await asyncio.wait_for(plane.asking.looked.wait(), LONGEST_S)
        url = url_of(sockets[0], plane.settings.server)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=LONGEST_S) as http:
            gateway = Gateway(url, worker, plane, records, ports, http)
            try:
                yield gateway
            finally:  # a failed test must not leave a connection to the loop's own end, which uvloop would wait for
                await ports.close()
                if not plane.stopping:
                    await plane.stop(0.0)
                await asyncio.wait_for(worker.drained.wait(), LONGEST_S)
        assert {} == gateway.in_flight()
    finally:
        for connection in list(worker._connections):
            connection.hang_up()
        await supervisor.close()
        while worker._connections:
            await asyncio.sleep(0)
        for sock in sockets:
            sock.close()


def document(**sections: Any) -> dict[str, Any]:
    """A configuration with keys on and no access log, but for `sections`."""
    return {"auth": AUTH, "telemetry": {"access_log": "off"}, **sections}


def one_model(*tiers: str | list[str] | dict[str, Any], **sections: Any) -> dict[str, Any]:
    """The model `chat`, served as `upstream-model` by engines `a`, `b`, ... : one tier each.

    A tier is the URL of its replica, a list of URLs, or a whole engine section.
    """
    engines: dict[str, Any] = {}
    for name, tier in zip("abcdef", tiers, strict=False):
        if isinstance(tier, dict):
            engines[name] = {"kind": "vllm", **tier}
        else:
            urls = [tier] if isinstance(tier, str) else tier
            engines[name] = {"kind": "vllm", "replicas": [{"url": url} for url in urls]}
    targets = [{"engine": name, "model": "upstream-model"} for name in engines]
    return {"engines": engines, "models": {"chat": {"targets": targets}}, **sections}


def events_of(body: bytes | str) -> list[Any]:
    """The JSON of each event of a stream; `[DONE]` as it is."""
    text = body if isinstance(body, str) else body.decode()
    payloads = [
        line.removeprefix("data: ") for part in text.split("\n\n") for line in part.split("\n") if line[:6] == "data: "
    ]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]
