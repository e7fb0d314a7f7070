"""A scrape, as the plane answers it: the processes it measures, and that it lets others run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import pytest

from gateway.control import plane as control
from gateway.control.plane import Plane, Source
from gateway.supervisor import Supervisor
from gateway.telemetry.metrics import Metrics, MetricsSnapshot
from gateway.workers.link import LocalLink
from gateway.workers.messages import AskCounters, Counters, ToWorker

pytestmark = pytest.mark.anyio

OURS = 4711
FILE = """
engines: {e: {kind: openai, base_url: "http://127.0.0.1:9/v1"}}
models: {m: {targets: [{engine: e}]}}
"""


class Rendered:
    """In the place of `render_lines`: three chunks, and what was asked for."""

    def __init__(self) -> None:
        self.pids: list[tuple[int, ...]] = []
        self.order: list[str] = []

    def __call__(self, snapshot: MetricsSnapshot, pids: Iterable[int]) -> Iterator[bytes]:
        self.pids.append(tuple(pids))
        for chunk in (b"a\n", b"b\n", b"c\n"):
            self.order.append(chunk.decode().strip())
            asyncio.get_running_loop().call_soon(self.order.append, "stream")
            yield chunk


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Rendered:
    rendered = Rendered()
    monkeypatch.setattr(control, "render_lines", rendered)
    monkeypatch.setattr("os.getpid", lambda: OURS)
    return rendered


def join(plane: Plane, worker: str, pid: int | None = None) -> None:
    def answer(message: ToWorker) -> None:
        if isinstance(message, AskCounters):
            plane.receive(worker, Counters(message.number, Metrics(()).snapshot()))

    plane.attach(worker, LocalLink(answer), pid)


async def test_a_scrape_gives_way_after_every_chunk(rendered: Rendered) -> None:
    plane = Plane(Source(None, FILE, environ={}), Supervisor(), workers=1)
    assert await plane.exposition() == b"a\nb\nc\n"
    assert rendered.order == ["a", "stream", "b", "stream", "c", "stream"]


async def test_a_worker_in_our_own_process_is_measured_once(rendered: Rendered) -> None:
    plane = Plane(Source(None, FILE, environ={}), Supervisor(), workers=1)
    join(plane, "0")
    await plane.exposition()
    assert rendered.pids == [(OURS,)]


async def test_worker_processes_are_measured_with_ours_until_they_leave(rendered: Rendered) -> None:
    plane = Plane(Source(None, FILE, environ={}), Supervisor(), workers=2)
    join(plane, "0.0", 21)
    join(plane, "1.1", 22)
    await plane.exposition()
    plane.detach("0.0")
    await plane.exposition()
    assert rendered.pids == [(OURS, 21, 22), (OURS, 22)]
