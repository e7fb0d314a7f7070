"""One whole line per request, wherever it goes and whatever happens to the target."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounts.record import RequestRecord
from gateway.telemetry.access_log import SLICE_RECORDS, AccessLog
from gateway.telemetry.time_stamp import TimeStamper, milliseconds
from tests.gateway.telemetry.readers import Pipe
from tests.gateway.telemetry.records import record


def read(path: Path) -> list[RequestRecord]:
    return [msgspec.json.decode(line, type=RequestRecord) for line in path.read_bytes().splitlines()]


def test_a_line_is_the_record_in_its_field_order(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"))
    log.write(record("req-1", engine="llama", attempts=1, ttft_ms=12.5, input_tokens=3))
    log.flush()
    log.close(60)
    text = (tmp_path / "access.log").read_text()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == [
        *("time", "request_id", "record_id", "operation", "model", "status", "duration_ms"),
        *("engine", "attempts", "ttft_ms", "input_tokens"),
    ]


def test_a_line_break_in_a_field_does_not_break_the_line(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"))
    log.write(record("a\nb\r\u2028", model="x"))
    log.close(60)
    assert (tmp_path / "access.log").read_bytes().count(b"\n") == 1
    assert [one.request_id for one in read(tmp_path / "access.log")] == ["a\nb\r\u2028"]


def test_more_than_one_slice_arrives_whole_and_in_order(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"))
    written = [record(str(number)) for number in range(2 * SLICE_RECORDS + 1)]
    for one in written:
        log.write(one)
    log.close(60)
    assert read(tmp_path / "access.log") == written


def test_it_appends_to_what_is_there(tmp_path: Path) -> None:
    for request_id in ("first", "second"):
        log = AccessLog(str(tmp_path / "access.log"))
        log.write(record(request_id))
        log.close(60)
    assert [one.request_id for one in read(tmp_path / "access.log")] == ["first", "second"]


def test_reopen_follows_a_rotated_file_between_two_lines(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    log.write(record("old"))
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    log.write(record("new"))
    log.close(60)
    assert [one.request_id for one in read(tmp_path / "access.log.1")] == ["old"]
    assert [one.request_id for one in read(path)] == ["new"]


def test_a_path_that_cannot_be_reopened_goes_on_in_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(str(folder / "access.log"))
    folder.rename(tmp_path / "moved")
    with structlog.testing.capture_logs() as said:
        log.reopen()
        log.write(record("kept"))
        log.close(60)
    assert [(line["event"], line["reason"], line["target"]) for line in said] == [
        (
            "the access log cannot be opened anew and goes on in its old file",
            "No such file or directory",
            str(folder / "access.log"),
        )
    ]
    assert log.dropped == 0
    assert [one.request_id for one in read(tmp_path / "moved" / "access.log")] == ["kept"]


def test_a_path_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        AccessLog(str(tmp_path / "nowhere" / "access.log"))


def test_others_cannot_read_a_new_file(tmp_path: Path) -> None:
    AccessLog(str(tmp_path / "access.log")).close(60)
    assert (tmp_path / "access.log").stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("target", ["stdout", "stderr"])
def test_standard_streams(target: str, capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(target)
    log.write(record("req-7"))
    log.close(60)
    captured = capfd.readouterr()
    assert json.loads(getattr(captured, target.removeprefix("std")))["request_id"] == "req-7"


def test_a_full_disk_loses_lines_and_counts_them(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("/dev/full")
    for number in range(SLICE_RECORDS + 5):
        log.write(record(str(number)))
    log.close(60)
    assert log.dropped == SLICE_RECORDS + 5
    assert capfd.readouterr().out.count("No space left on device") == 1


def test_a_reader_that_stands_still_costs_lines_and_each_is_counted() -> None:
    pipe = Pipe()
    log = AccessLog(pipe.path, bound_bytes=100_000)
    offered = 20 * SLICE_RECORDS
    for number in range(offered):
        log.write(record(f"{number:0300d}"))
        if number % SLICE_RECORDS == 0:
            log.flush()
    assert log._outlet is not None
    pipe.until_full(log._outlet)
    log.close(0)
    lines = pipe.read_what_is_there().splitlines()
    pipe.close()
    kept = [int(msgspec.json.decode(line, type=RequestRecord).request_id) for line in lines]
    assert kept == list(range(len(lines)))
    assert 0 < len(lines) < offered
    assert log.dropped == offered - len(lines)


def test_a_record_that_is_no_text_costs_its_own_line_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(str(tmp_path / "access.log"))
    for request_id in ("before", "\ud800", "after"):
        log.write(record(request_id))
    log.close(60)
    assert [one.request_id for one in read(tmp_path / "access.log")] == ["before", "after"]
    assert log.dropped == 1
    assert "a line of the access log is lost" in capfd.readouterr().out


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


@given(st.integers(0, 10_000_000_000))
@settings(deadline=None)
def test_a_span_in_a_header_is_milliseconds_with_three_decimals(us: int) -> None:
    assert milliseconds(us / 1e6) == b"%d.%03d" % divmod(us, 1000)
