"""A stream that is blocked is not read, loses nothing, and goes on where it was."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import threading

import pytest

from loadtests.chaos.streams import Stream, request_id


class Lines:
    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.more = threading.Event()

    def __call__(self, line: bytes) -> None:
        self.seen.append(line)
        self.more.set()


def waiting_bytes(descriptor: int) -> int:
    """What lies in a pipe, unread."""
    found: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
    return found


def test_what_is_written_while_it_is_blocked_waits_and_comes_whole() -> None:
    lines = Lines()
    stream = Stream(lines)
    end = os.dup(stream.write)
    stream.started()
    os.write(end, b"one\ntw")
    assert lines.more.wait(10)
    stream.block()
    os.write(end, b"o\n")  # read at most once more: the read that was under way
    os.write(end, b"three\n\n")
    stream.unblock()
    os.close(end)
    assert stream.ended(10)
    assert lines.seen == [b"one", b"two", b"three", b""]
    assert stream.last == b"three"


def test_a_blocked_stream_fills_its_pipe() -> None:
    lines = Lines()
    stream = Stream(lines)
    end = os.dup(stream.write)
    stream.block()
    stream.started()
    os.write(end, b"line\n" * 100)
    assert waiting_bytes(end) == 500
    assert lines.seen == []
    stream.unblock()
    os.close(end)
    assert stream.ended(10)
    assert len(lines.seen) == 100


def test_when_the_reader_has_left_the_pipe_is_broken() -> None:
    stream = Stream(Lines())
    end = os.dup(stream.write)
    stream.started()
    stream.leave()
    with pytest.raises(BrokenPipeError):
        os.write(end, b"anybody?\n")
    os.close(end)
    assert stream.ended(0)


def test_only_access_lines_have_a_request_id() -> None:
    assert request_id(b'{"time": "t", "request_id": "chaos-7", "duration_ms": 1.5}') == "chaos-7"
    assert request_id(b'{"event": "started", "request_id": "chaos-7"}') == ""
    assert request_id(b'{"request_id": 7, "duration_ms": 1}') == ""
    assert request_id(b"[]") == request_id(b"Traceback (most recent call last):") == ""
