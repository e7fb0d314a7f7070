"""A worker keeps every batch until the writer has it, whatever becomes of the writer, the disk and the link."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import astuple

from gateway.links.link import PipeLink
from gateway.process.supervisor import Supervisor
from gateway.store.messages import AskState, Batch, FromWriter, State, Stored, ToWriter
from gateway.store.sending.carried import arrived
from gateway.store.sending.carried_record import CarriedRecord
from gateway.store.sending.recorder import BATCH_RECORDS, Recorder
from gateway.store.sending.shipping import LINK_BYTES, Shipping
from gateway.store.sending.spill import Spill, next_spilled
from tests.gateway.store.records import Made

pytestmark = pytest.mark.anyio

RUN = "0123456789ab"


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


class FakeWriter:
    """Takes batches at a socket; confirms them as long as it is willing."""

    def __init__(self, path: str, supervisor: Supervisor) -> None:
        self._path = path
        self._supervisor = supervisor
        self.willing = True
        self.batches: list[Batch] = []
        self.links: list[PipeLink[FromWriter]] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        _remove(self._path)
        self._server = await asyncio.get_running_loop().create_unix_server(self._link, self._path)

    def _link(self) -> PipeLink[FromWriter]:
        link: PipeLink[FromWriter] = PipeLink(ToWriter, self, self._supervisor.spawn)
        self.links.append(link)
        return link

    def die(self) -> None:
        """As a killed process does: its socket and all links end."""
        assert self._server is not None
        self._server.close()
        for link in self.links:
            link.close()
        self.links.clear()

    @property
    def numbers(self) -> list[int]:
        return [batch.number for batch in self.batches]

    def told(self, message: ToWriter) -> None:
        if isinstance(message, Batch):
            self.batches.append(message)
            if self.willing:
                self.links[-1].tell(Stored([message.number]))

    async def asked(self, message: ToWriter) -> FromWriter:
        assert isinstance(message, AskState)
        return State()

    def link_lost(self) -> None: ...


def _rest(_s: float) -> None:
    """A file system that is quick needs no rest."""


class Scene:
    def __init__(self, directory: Path, supervisor: Supervisor, **changes: Any) -> None:
        self.directory = directory
        path = str(directory / "s")
        self.writer = FakeWriter(path, supervisor)
        self.shipping = Shipping(
            RUN, path, directory, supervisor.spawn, **{"patience_s": 3600.0, "sleep": _rest, **changes}
        )

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                await self.shipping.step()
                await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def scene(directory: Path, **changes: Any) -> AsyncIterator[Scene]:
    supervisor = Supervisor()
    made = Scene(directory, supervisor, **changes)
    await made.writer.start()
    try:
        yield made
    finally:
        with contextlib.suppress(AssertionError):
            made.writer.die()
        await made.shipping.close(0.0)
        await supervisor.close()


def spilled(directory: Path) -> list[int]:
    with next_spilled(directory) as found:
        return [] if found is None else [msgspec.msgpack.decode(part, type=Batch).number for part in found[1]]


async def test_batches_come_in_their_order_and_are_forgotten_once_confirmed(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        for _ in range(200):
            s.shipping.take([b"x" * 100], 5)
        await s.until(lambda: not s.shipping.kept)
        assert (s.writer.numbers, s.shipping.held_bytes) == (list(range(1, 201)), 0)


@pytest.mark.parametrize("bound", [{"window_bytes": 6_400}, {"window": 64}])
async def test_so_many_at_a_time_are_on_their_way(tmp_path: Path, bound: dict[str, int]) -> None:
    async with scene(tmp_path, **bound) as s:
        s.writer.willing = False
        for _ in range(200):
            s.shipping.take([b"x" * 100], 1)
        await s.until(lambda: len(s.writer.batches) == 64)
        for _ in range(20):
            await s.shipping.step()
        assert (len(s.writer.batches), s.shipping.kept) == (64, 200)


async def test_a_writer_that_comes_back_is_not_sent_all_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        for _ in range(100):
            s.shipping.take([b"x" * LINK_BYTES], 1)  # nobody is there yet
            if s.shipping.held_bytes > 8 * LINK_BYTES:
                break
        await s.shipping.step()
        assert s.shipping._link is not None
        assert s.shipping._link.unsent_bytes <= 2 * LINK_BYTES
        await s.until(lambda: not s.shipping.kept)
        assert s.writer.numbers == list(range(1, 10))


async def test_a_writer_that_comes_back_is_sent_again_what_it_had_not_confirmed(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.shipping.take([b"a"], 1)
        await s.until(lambda: not s.shipping.kept)
        s.writer.willing = False
        for _ in range(3):
            s.shipping.take([b"b"], 1)
        await s.until(lambda: len(s.writer.batches) == 4)
        s.writer.die()
        await s.until(lambda: s.shipping._link is None)
        s.shipping.take([b"c"], 1)
        s.writer.willing = True
        await s.writer.start()
        await s.until(lambda: not s.shipping.kept)
        assert s.writer.numbers == [1, 2, 3, 4, 2, 3, 4, 5]


async def test_what_a_writer_that_is_there_takes_slowly_is_waited_for_and_goes_to_no_file(tmp_path: Path) -> None:
    async with scene(tmp_path, patience_s=0.0) as s:
        s.writer.willing = False
        for _ in range(20):
            s.shipping.take([b"x"], 1)
        await s.until(lambda: len(s.writer.batches) == 20)
        for _ in range(20):
            await s.shipping.step()
        assert (s.shipping.kept, spilled(tmp_path)) == (20, [])


async def test_what_waits_for_a_writer_that_is_not_there_goes_to_a_file_and_nothing_is_sent_twice(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, patience_s=0.0) as s:
        s.writer.die()
        for _ in range(20):
            s.shipping.take([b"x"], 1)
        await s.until(lambda: not s.shipping.kept)
        assert s.shipping.held_bytes == 0
        await s.writer.start()
        s.shipping.take([b"y"], 1)
        await s.until(lambda: not s.shipping.kept and not s.shipping._spill.open)
        assert (spilled(tmp_path), s.writer.numbers) == (list(range(1, 21)), [21])


async def test_what_a_writer_that_hangs_has_not_confirmed_goes_to_a_file_too(tmp_path: Path) -> None:
    async with scene(tmp_path, silence_s=0.0) as s:
        s.writer.willing = False
        for _ in range(20):
            s.shipping.take([b"x"], 1)
        await s.until(lambda: not s.shipping.kept)
        assert s.shipping.held_bytes == 0
        await s.shipping.step()
        assert spilled(tmp_path) == list(range(1, 21))


async def test_what_is_more_than_may_wait_goes_to_a_file_without_what_is_on_its_way(tmp_path: Path) -> None:
    async with scene(tmp_path, window_bytes=1_000, spill_bytes=1_000) as s:
        s.writer.willing = False
        for _ in range(30):
            s.shipping.take([b"x" * 100], 1)
        await s.until(lambda: s.shipping.kept == 10 == len(s.writer.batches))
        assert (s.shipping.held_bytes, s.shipping.dropped) == (1_000, 0)
        s.writer.links[-1].tell(Stored(list(range(1, 11))))
        await s.until(lambda: not s.shipping.kept and not s.shipping._spill.open)
        assert (s.writer.numbers, spilled(tmp_path)) == (list(range(1, 11)), list(range(11, 31)))


class NoRoom(Spill):
    def append(self, parts: Any) -> None:
        raise OSError(28, "No space left on device")


async def test_with_no_writer_and_no_room_records_are_held_to_a_bound_and_then_dropped_and_counted(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, patience_s=0.0, hold_bytes=1000, spill=NoRoom(tmp_path, RUN)) as s:
        s.writer.die()
        for _ in range(15):
            s.shipping.take([b"x" * 100], 7)
        for _ in range(3):
            await s.shipping.step()
        assert (s.shipping.kept, s.shipping.held_bytes, s.shipping.dropped) == (10, 1000, 35)
        await s.writer.start()
        await s.until(lambda: not s.shipping.kept)
        assert s.writer.numbers == list(range(1, 11))


async def test_the_end_waits_for_the_writer_and_leaves_the_rest_in_a_file(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.shipping.take([b"x"], 1)
        await s.shipping.close(20.0)
        assert (s.writer.numbers, spilled(tmp_path)) == ([1], [])
    async with scene(tmp_path) as s:
        s.writer.willing = False
        s.shipping.take([b"x"], 1)
        await s.shipping.close(0.0)
        assert (spilled(tmp_path), s.shipping.kept, s.shipping.dropped) == ([1], 0, 0)


class StandingSpill(Spill):
    """On a disk that stands still, until it is let go."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, RUN)
        self.goes_on = threading.Event()
        self.asked = threading.Event()

    def append(self, parts: Iterable[bytes]) -> None:
        self.asked.set()
        self.goes_on.wait()
        super().append(parts)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_disk_that_stands_still_does_not_hold_the_end_and_what_it_did_not_take_is_counted(
    tmp_path: Path, begun: bool
) -> None:
    spill = StandingSpill(tmp_path)
    async with scene(tmp_path, spill=spill, file_s=0.01, patience_s=0.0) as s:
        s.writer.willing = False
        s.shipping.take([b"x"], 3)
        step = None
        if begun:  # the loop's own step is what stands still, as it has found no writer
            s.writer.die()
            await s.until(lambda: s.shipping._link is None)
            _remove(str(tmp_path / "s"))
            step = asyncio.ensure_future(s.shipping.step())
            assert await asyncio.to_thread(spill.asked.wait, 30)
        try:
            async with asyncio.timeout(30):
                await s.shipping.close(0.0)
            assert s.shipping.dropped == 3
        finally:
            spill.goes_on.set()
            if step is not None:
                await step


# -- the recorder ------------------------------------------------------------------------------------------------------


def recorder() -> tuple[Recorder, memoryview, list[tuple[list[CarriedRecord], int]]]:
    settled = memoryview(bytearray(8)).cast("Q")
    taken: list[tuple[list[CarriedRecord], int]] = []

    def take(slices: list[bytes], count: int) -> None:
        taken.append(([record for data in slices for record in arrived(data)], count))

    return Recorder(settled, take), settled, taken


def test_records_are_handed_on_together_and_counted_one_by_one() -> None:
    made, (recording, settled, taken) = Made(), recorder()
    for number in range(BATCH_RECORDS + 3):
        recording.write(made.one())
        assert settled[0] == number + 1
        # What encodes hands nothing on: each holds the loop, and both at once would hold it twice as long.
        assert len(taken) == (1 if number >= BATCH_RECORDS else 0)
    assert [count for _, count in taken] == [BATCH_RECORDS]
    recording.flush()
    recording.flush()
    assert [count for _, count in taken] == [BATCH_RECORDS, 3]
    assert [astuple(record) for records, _ in taken for record in records] == [astuple(record) for record in made.all]


def test_a_record_that_is_no_text_costs_only_itself() -> None:
    made, (recording, settled, taken) = Made(), recorder()
    for name in ("a", "\ud800", "b"):
        recording.write(made.one(finish_reason=name))
    recording.flush()
    assert [record.finish_reason for record in taken[0][0]] == ["a", "b"]
    assert (taken[0][1], recording.unwritable, settled[0]) == (2, 1, 3)
