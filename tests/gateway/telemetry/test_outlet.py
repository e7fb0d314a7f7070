"""Lines on their way to real pipes, files and devices: none waits, none is lost uncounted, none is torn."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.outlet import Outlet
from gateway.telemetry.target import Target
from tests.gateway.telemetry.readers import Pipe, Told


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def outlet(path: str, told: Told, bound_bytes: int = 1 << 20) -> Outlet:
    return Outlet("test", Target(path), on_failure=told.failure, on_return=told.returned, bound_bytes=bound_bytes)


def line(number: int, length: int = 100) -> bytes:
    return f"{number:06d} ".encode().ljust(length - 1, b".") + b"\n"


def test_blocks_arrive_whole_and_in_order(tmp_path: Path) -> None:
    told = Told()
    out = outlet(str(tmp_path / "log"), told)
    for start in range(0, 3000, 1000):
        out.put(b"".join(line(number) for number in range(start, start + 1000)))
    out.close(60)
    assert (tmp_path / "log").read_bytes() == b"".join(line(number) for number in range(3000))
    assert (out.dropped, told.failures, told.returns, out.alive) == (0, [], [], False)


WRITER = """
from gateway.telemetry.outlet import Outlet
from gateway.telemetry.target import Target
out = Outlet("test", Target("stdout"), on_failure=print, on_return=print)
out.put((b"x" * 99 + b"\\n") * 2000)
out.close(60)
"""


@pytest.mark.parametrize("socket_of", [socket.SOCK_SEQPACKET, None], ids=["socket", "pipe"])
def test_what_workers_may_share_gets_whole_lines_in_writes_that_stay_together(socket_of: int | None) -> None:
    if socket_of is None:
        read_fd, write_fd = os.pipe2(os.O_DIRECT)  # keeps writes apart, as SOCK_SEQPACKET does
    else:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket_of)
        read_fd, write_fd = ours.detach(), theirs.detach()
    child = subprocess.Popen([sys.executable, "-c", WRITER], stdout=write_fd)
    os.close(write_fd)
    writes = []
    while written := os.read(read_fd, 1 << 20):
        writes.append(written)
    os.close(read_fd)
    assert child.wait(60) == 0
    assert b"".join(writes) == (b"x" * 99 + b"\n") * 2000
    assert all(len(written) <= select.PIPE_BUF and written.endswith(b"\n") for written in writes)


def test_a_pipe_that_nobody_reads_holds_nobody_and_each_line_is_written_or_counted(pipe: Pipe) -> None:
    told = Told()
    out = outlet(pipe.path, told, bound_bytes=200_000)
    for number in range(5000):
        out.put(line(number))
    pipe.until_full(out)
    out.close(0)
    assert out.alive  # in a write that nobody will ever let go on
    written = pipe.read_what_is_there()
    assert written.endswith(b"\n")
    assert len(written) % 100 == 0
    assert written.count(b"\n") + out.dropped == 5000
    assert out.dropped > 2000


def test_what_was_dropped_is_told_once_when_the_reader_returns(pipe: Pipe) -> None:
    filled = pipe.fill()
    told = Told()
    out = outlet(pipe.path, told, bound_bytes=1000)
    for number in range(30):
        out.put(line(number))
    assert out.dropped == 20
    assert told.returns == []
    assert pipe.read(filled) == b"x" * filled
    told.until(lambda: bool(told.returns))
    out.put(line(30))
    assert pipe.read_lines(11) == [line(number)[:-1] for number in (*range(10), 30)]
    out.close(60)
    assert told.returns == [20]
    assert out.dropped == 20


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    told = Told()
    out = outlet(pipe.path, told)
    pipe.close_reader()
    for number in range(100):
        out.put(line(number))
    out.close(60)
    assert (out.dropped, told.failures, told.returns, out.alive) == (100, ["Broken pipe"], [], False)


def test_a_full_disk_costs_lines_and_is_told_once() -> None:
    told = Told()
    out = outlet("/dev/full", told)
    for number in range(10):
        out.put(line(number) + line(number))
    out.close(60)
    assert (out.dropped, told.failures) == (20, ["No space left on device"])


def test_a_disk_that_fills_up_tears_one_line_and_not_the_next(pipe: Pipe) -> None:
    """A reader that leaves in the middle of a long line is what a pipe has for it; the next reader gets whole lines."""
    told = Told()
    path = f"/proc/self/fd/{pipe.write_fd}"
    out = outlet(path, told)
    out.put(line(1, 200_000))
    assert pipe.read(10) == b"000001 ..."
    pipe.close_reader()
    told.until(lambda: bool(told.failures))
    pipe.read_fd = os.open(f"/proc/self/fd/{pipe.write_fd}", os.O_RDONLY)
    out.put(line(2))
    text = b""
    while not text.endswith(line(2)):
        text += os.read(pipe.read_fd, 1 << 16)
    told.until(lambda: bool(told.returns))
    out.close(60)
    assert text.endswith(b".\n" + line(2))
    assert (out.dropped, told.returns, text.count(b"\n")) == (1, [1], 2)


def test_a_fifo_without_a_reader_is_no_reason_to_wait(tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    told = Told()
    out = outlet(str(fifo), told, bound_bytes=1000)
    for number in range(15):
        out.put(line(number))
    assert out.dropped == 5
    reader = os.open(fifo, os.O_RDONLY)
    told.until(lambda: told.returns == [5])
    out.close(60)
    assert os.read(reader, 1 << 16) == b"".join(line(number) for number in range(10))
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_fifo_that_never_gets_a_reader_does_not_hold_the_stop(tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    out = outlet(str(fifo), Told())
    out.put(line(1) + line(2))
    out.put(line(3))
    out.close(0)
    assert (out.dropped, out.alive) == (3, True)
    os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))  # lets the thread go


def test_a_slow_reader_gets_every_line(pipe: Pipe) -> None:
    out = outlet(pipe.path, Told(), bound_bytes=1 << 22)
    expected = b"".join(line(number) for number in range(20_000))
    for start in range(0, len(expected), 50_000):
        out.put(expected[start : start + 50_000])
    read = bytearray()
    while len(read) < len(expected):
        read += os.read(pipe.read_fd, 777)
    out.close(60)
    assert bytes(read) == expected
    assert out.dropped == 0


def test_lines_of_several_writers_to_one_pipe_stay_whole(pipe: Pipe) -> None:
    outlets = [outlet(pipe.path, Told(), bound_bytes=1 << 22) for _ in range(3)]
    for name, out in zip(b"abc", outlets, strict=True):
        out.put((bytes([name]) * 349 + b"\n") * 2000)
    lines = pipe.read_lines(6000)
    for out in outlets:
        out.close(60)
    assert sorted(lines) == [bytes([name]) * 349 for name in b"abc" for _ in range(2000)]


def test_somebody_else_may_make_the_stream_non_blocking(pipe: Pipe) -> None:
    os.set_blocking(pipe.write_fd, False)
    target = Target(pipe.path)
    os.set_blocking(target.fd, False)
    told = Told()
    out = Outlet("test", target, on_failure=told.failure, on_return=told.returned)
    expected = b"".join(line(number) for number in range(3000))
    out.put(expected)
    assert pipe.read(len(expected)) == expected
    out.close(60)
    assert (out.dropped, told.failures) == (0, [])


def test_after_its_end_it_counts_what_it_is_offered(tmp_path: Path) -> None:
    out = outlet(str(tmp_path / "log"), Told())
    out.put(line(1))
    out.close(60)
    out.put(line(2) + line(3))
    out.close(60)
    assert out.dropped == 2
    assert (tmp_path / "log").read_bytes() == line(1)


def test_a_closed_stream_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    told = Told()
    target = Target(pipe.path)
    os.close(target.fd)
    target.fd = pipe.read_fd  # open, but not for writing
    out = Outlet("test", target, on_failure=told.failure, on_return=told.returned)
    out.put(line(1))
    told.until(lambda: told.failures == ["Bad file descriptor"])
    target.fd = -1
    out.close(60)
    assert out.dropped == 1


@given(st.lists(st.lists(st.integers(1, 9000), max_size=20), max_size=20))
@settings(deadline=None, max_examples=50)
def test_whatever_the_lengths_a_pipe_gets_the_same_bytes(blocks: list[list[int]]) -> None:
    pipe = Pipe()
    out = outlet(pipe.path, Told(), bound_bytes=1 << 24)
    expected = b""
    for lengths in blocks:
        block = b"".join(b"x" * (length - 1) + b"\n" for length in lengths)
        out.put(block)
        expected += block
    read = bytearray()
    reader = threading.Thread(target=lambda: read.extend(pipe.read(len(expected))))
    reader.start()
    out.close(60)
    reader.join()
    pipe.close()
    assert bytes(read) == expected
    assert out.dropped == 0
