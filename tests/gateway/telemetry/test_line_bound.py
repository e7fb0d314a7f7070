"""Lines that several processes write to one pipe stay whole: none is longer than a pipe keeps together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.access_log import SLICE_RECORDS, AccessLog
from gateway.telemetry.line_bound import LINE_BYTES, MARK, all_fit, cut
from tests.gateway.telemetry.readers import Pipe
from tests.gateway.telemetry.records import record

relaxed = settings(deadline=None)
LINES = 400
WRITER = """
import sys
from gateway.telemetry.access_log import AccessLog
from tests.gateway.telemetry.records import record

log = AccessLog("stdout", bound_bytes=1 << 30)
for number in range(int(sys.argv[2])):
    log.write(record(f"{sys.argv[1]}-{number}", tenant=sys.argv[1] * (number * 37 % 9000)))
log.close(60)
"""


def test_lines_of_two_processes_on_one_pipe_stay_whole_however_long_their_fields_are() -> None:
    pipe = Pipe()
    try:
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, name, str(LINES)], stdout=pipe.write_fd) for name in "ab"
        ]
        lines = pipe.read_lines(2 * LINES)
        assert [writer.wait(60) for writer in writers] == [0, 0]
    finally:
        pipe.close()
    found = [json.loads(line) for line in lines]
    assert {line["request_id"] for line in found} == {f"{name}-{n}" for name in "ab" for n in range(LINES)}
    assert all(set(line.get("tenant", "")) <= {line["request_id"][0], "."} for line in found)
    assert max(len(line) for line in lines) < LINE_BYTES


@relaxed
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                name: st.text(max_size=3).map(lambda text: text * 2000)
                for name in (
                    "model",
                    "engine",
                    "replica",
                    "arm",
                    "upstream_model",
                    "finish_reason",
                    "key_id",
                    "tenant",
                    "response_id",
                )
            },
        ),
        min_size=1,
        max_size=SLICE_RECORDS,
    )
)
def test_no_line_is_longer_than_a_pipe_keeps_together_and_each_says_which_request_it_was(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "access.log"
    log = AccessLog(str(path))
    for number, fields in enumerate(changes):
        log.write(record(f"req-{number}", **fields))
    log.close(60)
    lines = path.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["request_id"] for line in lines] == [f"req-{number}" for number in range(len(changes))]
    assert all(len(line) <= LINE_BYTES for line in lines)


def test_a_line_that_fits_is_left_alone_beside_one_that_does_not(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"))
    ordinary = record("req-1", tenant="00-" + "a" * 52)
    log.write(ordinary)
    log.write(record("req-2", tenant="t" * 9000, finish_reason="stop", input_tokens=7, cost_usd=1e-9))
    log.close(60)
    first, second = map(json.loads, (tmp_path / "access.log").read_text().splitlines())
    assert first["tenant"] == ordinary.tenant
    assert second == {**second, "tenant": "t" * 1000 + MARK, "finish_reason": "stop", "input_tokens": 7}
    assert second["cost_usd"] == 1e-9


@relaxed
@given(st.lists(st.integers(0, 3 * LINE_BYTES), max_size=6))
def test_all_fit_says_whether_each_line_does(sizes: list[int]) -> None:
    assert all_fit(b"".join(b"x" * size + b"\n" for size in sizes)) == all(size < LINE_BYTES for size in sizes)


def test_what_is_cut_is_marked_where_it_was_cut() -> None:
    assert (cut("abcdef", 6), cut("abcdef", 4), cut("abcdef", 4, keep_end=True)) == ("abcdef", "abcd...", "...cdef")


def test_an_event_of_the_process_log_fits_too_and_keeps_the_end_of_its_exception() -> None:
    script = (
        "from gateway.telemetry import logs\n"
        "logs.start()\n"
        "logs.configure('info', 'json')\n"
        "import structlog\n"
        "def deep(n):\n"
        "    if n: deep(n - 1)\n"
        "    raise ValueError('\u00fc' * 3000 + 'the reason')\n"
        "try: deep(40)\n"
        "except ValueError as error:\n"
        "    structlog.get_logger().error('loop_failed', exc_info=error, why='w' * 9000, many=['m' * 9000], n=7)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, check=True, env=dict(os.environ))
    (line,) = done.stderr.splitlines(keepends=True)
    event = json.loads(line)
    assert len(line) <= LINE_BYTES
    assert (event["event"], event["n"], event["exception"].endswith("the reason")) == ("loop_failed", 7, True)
    assert (event["why"].endswith(MARK), event["many"].endswith(MARK)) == (True, True)
