"""One whole line per request, wherever it goes and whatever happens to the target."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounts.record import RequestRecord
from gateway.telemetry.access_log import SLICE_RECORDS, AccessLog, TimeStamper
from tests.gateway.telemetry.records import record


def never(records: int) -> None:
    raise AssertionError(records)


def read(path: Path) -> list[RequestRecord]:
    return [msgspec.json.decode(line, type=RequestRecord) for line in path.read_bytes().splitlines()]


def test_a_line_is_the_record_in_its_field_order(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"), never)
    log.write(record("req-1", engine="llama", attempts=1, ttft_ms=12.5, input_tokens=3))
    log.flush()
    log.close(60)
    text = (tmp_path / "access.log").read_text()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == [
        *("time", "request_id", "operation", "model", "status", "duration_ms"),
        *("engine", "attempts", "ttft_ms", "input_tokens"),
    ]


def test_a_line_break_in_a_field_does_not_break_the_line(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"), never)
    log.write(record("a\nb\r\u2028", model="x"))
    log.close(60)
    assert (tmp_path / "access.log").read_bytes().count(b"\n") == 1
    assert [one.request_id for one in read(tmp_path / "access.log")] == ["a\nb\r\u2028"]


def test_more_than_one_slice_arrives_whole_and_in_order(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"), never)
    written = [record(str(number)) for number in range(2 * SLICE_RECORDS + 1)]
    for one in written:
        log.write(one)
    log.close(60)
    assert read(tmp_path / "access.log") == written


def test_it_appends_to_what_is_there(tmp_path: Path) -> None:
    for request_id in ("first", "second"):
        log = AccessLog(str(tmp_path / "access.log"), never)
        log.write(record(request_id))
        log.close(60)
    assert [one.request_id for one in read(tmp_path / "access.log")] == ["first", "second"]


def test_reopen_follows_a_rotated_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = threading.Event()
    real = os.write

    def write(fd: int, data: bytes) -> int:
        length = real(fd, data)
        written.set()
        return length

    monkeypatch.setattr(os, "write", write)
    path = tmp_path / "access.log"
    log = AccessLog(str(path), never)
    log.write(record("old"))
    log.flush()
    written.wait()
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    log.write(record("new"))
    log.close(60)
    assert [one.request_id for one in read(tmp_path / "access.log.1")] == ["old"]
    assert [one.request_id for one in read(path)] == ["new"]


def test_a_path_that_cannot_be_reopened_goes_on_in_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(str(folder / "access.log"), never)
    folder.rename(tmp_path / "moved")
    log.reopen()
    log.write(record("kept"))
    log.close(60)
    assert [one.request_id for one in read(tmp_path / "moved" / "access.log")] == ["kept"]


def test_a_path_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        AccessLog(str(tmp_path / "nowhere" / "access.log"), never)


def test_others_cannot_read_a_new_file(tmp_path: Path) -> None:
    AccessLog(str(tmp_path / "access.log"), never).close(60)
    assert (tmp_path / "access.log").stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("target", ["stdout", "stderr"])
def test_standard_streams(target: str, capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(target, never)
    log.write(record("req-7"))
    log.close(60)
    captured = capfd.readouterr()
    assert json.loads(getattr(captured, target.removeprefix("std")))["request_id"] == "req-7"


def test_off_writes_nothing_and_counts_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = AccessLog("off", never)
    log.write(record())
    log.flush()
    log.close()
    assert capfd.readouterr() == ("", "")


Write = Callable[[int, memoryview], int]


def failing_writes(monkeypatch: pytest.MonkeyPatch, *script: int | OSError) -> None:
    """Make the next writes take only so many bytes, or fail; then write as usual."""
    real: Write = os.write
    rest = list(script)

    def write(fd: int, data: memoryview) -> int:
        step = rest.pop(0) if rest and isinstance(data, memoryview) else None
        if isinstance(step, OSError):
            raise step
        return real(fd, data if step is None else data[:step])

    monkeypatch.setattr(os, "write", write)


def test_a_full_disk_loses_lines_and_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[int] = []
    log = AccessLog(str(tmp_path / "access.log"), dropped.append)
    failing_writes(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    for number in range(SLICE_RECORDS + 5):
        log.write(record(str(number)))
    log.close(60)
    assert dropped == [SLICE_RECORDS + 5]
    assert read(tmp_path / "access.log") == []


def test_a_torn_line_does_not_swallow_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[int] = []
    log = AccessLog(str(tmp_path / "access.log"), dropped.append)
    failing_writes(monkeypatch, 10, OSError(errno.ENOSPC, "No space left on device"))
    log.write(record("torn"))
    log.flush()
    log.write(record("whole"))
    log.close(60)
    torn, whole = (tmp_path / "access.log").read_bytes().splitlines()
    assert len(torn) == 10
    assert dropped == [1]
    assert msgspec.json.decode(whole, type=RequestRecord) == record("whole")


def test_short_and_refused_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AccessLog(str(tmp_path / "access.log"), never)
    failing_writes(monkeypatch, 3, BlockingIOError(errno.EAGAIN, "try again"), 4)
    log.write(record("one"))
    log.write(record("two"))
    log.close(60)
    assert [one.request_id for one in read(tmp_path / "access.log")] == ["one", "two"]


@given(st.integers(0, 4_000_000_000_000))
@settings(deadline=None)
def test_a_time_stamp_is_rfc_3339_to_the_millisecond(unix_ms: int) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=unix_ms)
    stamp = TimeStamper().format(unix_ms / 1000)
    assert stamp == expected.strftime("%Y-%m-%dT%H:%M:%S.") + f"{unix_ms % 1000:03d}Z"
    assert datetime.fromisoformat(stamp) == expected


def test_a_time_stamp_carries_into_the_next_second() -> None:
    stamper = TimeStamper()
    assert stamper.format(59.9994) == "1970-01-01T00:00:59.999Z"
    assert stamper.format(59.9996) == "1970-01-01T00:01:00.000Z"
    assert stamper.format(59.5) == "1970-01-01T00:00:59.500Z"
