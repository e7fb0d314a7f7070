"""What becomes of stdout and stderr holds no request, no loop and no stop. The real process, real pipes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.children import gone, pids
from tests.gateway.served import CLOSED, served
from tests.gateway.telemetry.readers import Pipe

pytestmark = pytest.mark.slow

DROPPED = 'penstock_records_dropped_total{sink="%s"}'


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def streams_of(pid: int) -> list[str]:
    return [str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in range(3)]


@pytest.mark.parametrize(("access_log", "store"), [("stdout", "off"), ("stderr", "off"), ("stdout", "null")])
def test_full_pipes_that_nobody_reads_cost_no_answer_and_no_stop(
    pipe: Pipe, tmp_path: Path, access_log: str, store: str
) -> None:
    pipe.fill()  # not even the first line of the banner finds room

    async def run() -> None:
        full = pipe.write_fd
        async with served(tmp_path, access_log=access_log, store=store, stdout=full, stderr=full) as gateway:
            await gateway.started()
            assert await gateway.statuses(2000) == [401] * 2000
            assert await gateway.stop() == 0

    asyncio.run(run())


def test_what_full_pipes_cost_is_counted(pipe: Pipe, tmp_path: Path) -> None:
    pipe.fill()

    async def run() -> None:
        async with served(tmp_path, access_log="/dev/full", stderr=pipe.write_fd) as gateway:
            await gateway.started()
            assert await gateway.statuses(50) == [401] * 50
            await gateway.until_metric(DROPPED % "access_log", 50)
            assert (await gateway.metrics())[DROPPED % "process_log"] == 0  # its lines wait, within their bound
            assert await gateway.stop() == 0

    asyncio.run(run())


def test_readers_that_are_gone_cost_no_answer_no_reload_and_no_stop(pipe: Pipe, tmp_path: Path) -> None:
    pipe.close_reader()

    async def run() -> None:
        async with served(tmp_path, stdout=pipe.write_fd, stderr=pipe.write_fd) as gateway:
            await gateway.started()
            assert await gateway.statuses(200) == [401] * 200
            await gateway.until_metric(DROPPED % "access_log", 200)
            gateway.config.write_text("models: nothing")
            gateway.process.send_signal(signal.SIGHUP)
            await gateway.until_metric('penstock_config_reloads_total{result="refused"}', 1)
            assert (await gateway.metrics())[DROPPED % "process_log"] >= 1 + 1  # it is ready; access lines are lost
            assert await gateway.stop() == 0

    asyncio.run(run())


def test_a_worker_that_dies_is_replaced_while_the_readers_are_gone(pipe: Pipe, tmp_path: Path) -> None:
    pipe.close_reader()

    async def run() -> None:
        async with served(tmp_path, workers=2, stdout=pipe.write_fd, stderr=pipe.write_fd) as gateway:
            await gateway.started()
            assert await gateway.statuses(1) == [401]
            workers = pids("gateway.workers", gateway.pid)
            os.kill(workers[0], signal.SIGKILL)
            await gone(workers[0])
            async with asyncio.timeout(30):
                while len(now := pids("gateway.workers", gateway.pid)) < 2:
                    await asyncio.sleep(0.02)
            assert workers[1] in now
            assert await gateway.statuses(100) == [401] * 100
            assert await gateway.stop() == 0

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2])
def test_without_standard_streams_it_starts_and_keeps_their_numbers_from_sockets(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with served(tmp_path, workers=workers, words=CLOSED) as gateway:
            await gateway.started()
            assert await gateway.statuses(10) == [401] * 10
            processes = [gateway.pid, *pids("gateway.workers", gateway.pid)]
            assert len(processes) == (1 if workers == 1 else 3)
            for pid in processes:
                assert streams_of(pid) == ["/dev/null"] * 3
            assert await gateway.stop() == 0

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2])
def test_an_access_log_that_cannot_be_opened_ends_the_start_with_a_sentence(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        where = tmp_path / "nowhere" / "access.log"
        pipe = asyncio.subprocess.PIPE
        async with served(tmp_path, workers=workers, access_log=str(where), stderr=pipe) as gateway:
            _, said = await gateway.process.communicate()
            assert said.decode().splitlines() == [
                f"penstock: telemetry.access_log: {where} cannot be written: no such file or directory"
            ]
            assert gateway.process.returncode == 1

    asyncio.run(run())


def test_an_access_log_that_is_a_fifo_starts_without_a_reader_and_serves_the_one_that_comes(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def run() -> None:
        async with served(tmp_path, access_log=str(fifo)) as gateway:
            await gateway.started()
            assert await gateway.statuses(20) == [401] * 20
            reading = os.open(fifo, os.O_RDONLY)
            text = b""
            while text.count(b"\n") < 20:
                text += await asyncio.to_thread(os.read, reading, 65536)
            os.close(reading)
            assert text.count(b"invalid_api_key") == 20
            assert await gateway.stop() == 0

    asyncio.run(run())


def test_an_access_log_that_is_a_fifo_nobody_reads_does_not_hold_the_stop(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    async def run() -> None:
        async with served(tmp_path, access_log=str(tmp_path / "fifo")) as gateway:
            await gateway.started()
            assert await gateway.statuses(20) == [401] * 20
            assert await gateway.stop() == 0

    asyncio.run(run())
