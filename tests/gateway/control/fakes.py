"""A plane over a file with fake workers: messages in, messages out. Nothing is launched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from engines.model import Usage
from gateway.control.configuration.source import Source
from gateway.control.counters import CounterBoard
from gateway.control.plane import Plane
from gateway.links.link import LocalLink
from gateway.process.supervisor import Supervisor
from gateway.telemetry.metrics import Metrics
from gateway.workers.exchange.messages import (
    AskCounters,
    Configure,
    Configured,
    Counters,
    Drain,
    Drained,
    RenewCertificate,
    Renewed,
    SeriesCounted,
    ToPlane,
    ToWorker,
)
from tests.gateway.children import Watch

FILE = """
server: {port: 8080, workers: 2}
engines: {e: {kind: openai, base_url: "http://127.0.0.1:9/v1"}}
models: {m: {targets: [{engine: e}]}}
"""


class FakeWorker:
    """The other end of a link; answers as a worker does unless it is `silent`."""

    def __init__(self, plane: Plane, name: str, supervisor: Supervisor) -> None:
        self.name = name
        self.plane = plane
        self.heard: list[ToWorker] = []
        self.problem = ""
        self.silent = False
        self.watch = Watch()
        self.metrics = Metrics(["m"])
        self.unanswered: list[asyncio.Future[ToPlane]] = []
        """What was asked while it was silent."""
        self.link: LocalLink[ToPlane] = LocalLink(plane.peer(name), supervisor.spawn)
        self._to_us: LocalLink[ToWorker] = LocalLink(self, supervisor.spawn)

    async def join(self) -> str | None:
        """Join the plane; returns what it makes of our answer."""
        return await self.plane.attach(self.name, self._to_us)

    def told(self, message: ToWorker) -> None:
        self.heard.append(message)
        self.watch.changed()

    def asked(self, message: ToWorker) -> Awaitable[ToPlane]:
        self.heard.append(message)
        self.watch.changed()
        answer: asyncio.Future[ToPlane] = asyncio.get_running_loop().create_future()
        if self.silent:
            self.unanswered.append(answer)
        else:
            answer.set_result(self._answer(message))
        return answer

    def link_lost(self) -> None: ...

    def _answer(self, message: ToWorker) -> ToPlane:
        match message:
            case Configure():
                return Configured(self.problem)
            case RenewCertificate():
                return Renewed(self.problem)
            case AskCounters():
                snapshot = self.metrics.snapshot()
                self.link.tell(SeriesCounted(snapshot.series))
                return Counters(snapshot.counters, snapshot.gauges)
            case Drain():
                return Drained()
        raise AssertionError(message)

    def all_heard(self, kind: type[ToWorker]) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]

    def served(self, requests: int) -> None:
        for _ in range(requests):
            self.metrics.series("m", "e").settle(200, 0.1, usage=Usage(3, 4))


class Control:
    """A plane over a file, its supervisor, and its two fake workers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(FILE)
        self.supervisor = Supervisor()
        self.plane = Plane(
            Source(path, environ={}),
            self.supervisor,
            workers=2,
            counters=partial(CounterBoard, timeout_s=60.0),
        )
        self.workers = [self.worker("0.0"), self.worker("1.1")]

    def worker(self, name: str) -> FakeWorker:
        return FakeWorker(self.plane, name, self.supervisor)

    async def start(self) -> None:
        for worker in self.workers:
            assert await worker.join() == ""

    async def exposition(self) -> bytes:
        return b"".join([part async for part in self.plane.exposition()])

    async def count(self, name: str, **labels: str) -> float:
        """The sum of one metric's samples with these labels in the merged exposition."""
        text = (await self.exposition()).decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
