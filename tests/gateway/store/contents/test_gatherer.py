"""A worker's contents wait in its memory until the writer has them, and never in a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from gateway.links.link import PipeLink
from gateway.process.supervisor import Supervisor
from gateway.store.contents.content import Content
from gateway.store.contents.gatherer import BATCH_BYTES, Gatherer
from gateway.store.messages import Contents, FromWriter, Stored, ToWriter
from gateway.telemetry.metrics import Metrics
from tests.gateway.store.contents.contents import RUN, content
from tests.gateway.store.records import Made

pytestmark = pytest.mark.anyio


class FakeWriter:
    """Takes contents at a socket, and confirms them."""

    def __init__(self, path: Path, supervisor: Supervisor) -> None:
        self._path = path
        self._supervisor = supervisor
        self.contents: list[Content] = []
        self._link: PipeLink[FromWriter] | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        def link() -> PipeLink[FromWriter]:
            self._link = PipeLink(ToWriter, self, self._supervisor.spawn)
            return self._link

        self._server = await asyncio.get_running_loop().create_unix_server(link, str(self._path))

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def told(self, message: ToWriter) -> None:
        assert isinstance(message, Contents)
        assert self._link is not None
        for one in message.slices:
            self.contents += msgspec.msgpack.decode(one, type=list[Content])
        self._link.tell(Stored([message.number]))

    async def asked(self, message: ToWriter) -> FromWriter:
        raise TypeError

    def link_lost(self) -> None: ...


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    made = Supervisor()
    yield made
    await made.close()


def gatherer(directory: Path, supervisor: Supervisor, **changes: float) -> tuple[Gatherer, Metrics]:
    metrics = Metrics(())
    return Gatherer(RUN, str(directory / "s"), directory, supervisor, metrics, **changes), metrics


def dropped(metrics: Metrics) -> dict[str, float]:
    return {
        sample.labels[0]: sample.value
        for sample in metrics.others()[0]
        if sample.name == "penstock_contents_dropped_total" and sample.value
    }


def left(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def test_contents_reach_the_writer_in_their_order(tmp_path: Path, supervisor: Supervisor) -> None:
    made, (gathering, metrics) = Made(), gatherer(tmp_path, supervisor)
    writer = FakeWriter(tmp_path / "s", supervisor)
    sent = [content(made.one().record_id, "p" * (BATCH_BYTES // 3)) for _ in range(7)]
    for one in sent[:4]:
        gathering.take(one)
    await writer.start()
    for one in sent[4:]:
        gathering.take(one)
    await gathering.close()
    assert writer.contents == sent
    assert dropped(metrics) == {}
    writer.stop()


async def test_without_a_writer_contents_are_dropped_at_the_end_and_counted_and_leave_no_file(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    gathering, metrics = gatherer(tmp_path, supervisor, close_s=0.0)
    for _ in range(3):
        gathering.take(content(Made().one().record_id))
    gathering.no_room()
    await gathering.close()
    assert dropped(metrics) == {"away": 3, "memory": 1}
    assert not left(tmp_path)


async def test_what_is_no_text_costs_only_itself(tmp_path: Path, supervisor: Supervisor) -> None:
    made, (gathering, metrics) = Made(), gatherer(tmp_path, supervisor)
    writer = FakeWriter(tmp_path / "s", supervisor)
    await writer.start()
    for answer in ("a", "\ud800", "b"):
        gathering.take(content(made.one().record_id, answer=answer))
    await gathering.close()
    assert [one.answer for one in writer.contents] == ["a", "b"]
    assert dropped(metrics) == {"unreadable": 1}
    writer.stop()
