"""A scrape, as the plane answers it: the processes it measures, and that it lets others run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator

import pytest

from gateway.control.counters import CounterBoard
from gateway.control.links import Links
from gateway.links.link import LocalLink
from gateway.process.supervisor import Supervisor
from gateway.telemetry.metrics import Metrics, MetricsSnapshot
from gateway.workers.exchange.messages import AskCounters, Counters, ToPlane, ToWorker

pytestmark = pytest.mark.anyio

OURS = os.getpid()


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
def rendered() -> Rendered:
    return Rendered()


class Counting:
    """A worker that has counted nothing."""

    def told(self, message: ToWorker) -> None:
        raise AssertionError(message)

    async def asked(self, message: ToWorker) -> ToPlane:
        assert isinstance(message, AskCounters)
        return Counters([], [])

    def link_lost(self) -> None: ...


def joined(links: Links, worker: str, pid: int | None = None) -> None:
    links.add(worker, LocalLink(Counting(), Supervisor().spawn), pid)


async def whole(board: CounterBoard) -> bytes:
    return b"".join([part async for part in board.exposition()])


async def test_a_scrape_gives_way_after_every_chunk(rendered: Rendered) -> None:
    board = CounterBoard(Links(), Metrics(()), render=rendered)
    assert await whole(board) == b"a\nb\nc\n"
    assert rendered.order == ["a", "stream", "b", "stream", "c", "stream"]


async def test_a_worker_in_our_own_process_is_measured_once(rendered: Rendered) -> None:
    links = Links()
    joined(links, "0")
    await whole(CounterBoard(links, Metrics(()), render=rendered))
    assert rendered.pids == [(OURS,)]


async def test_worker_processes_are_measured_with_ours_until_they_leave(rendered: Rendered) -> None:
    links = Links()
    joined(links, "0.0", OURS + 1)
    joined(links, "1.1", OURS + 2)
    board = CounterBoard(links, Metrics(()), render=rendered)
    await whole(board)
    links.remove("0.0")
    await whole(board)
    assert rendered.pids == [(OURS, OURS + 1, OURS + 2), (OURS, OURS + 2)]
