"""The process's own log: everything that would go to stderr goes one bounded way, and is counted where it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.gateway.telemetry.readers import Pipe


def run(script: str, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    code = "from gateway.telemetry import logs\nlogs.start()\nlogs.configure('info', 'json')\n" + script
    return subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr, check=False)


def events(script: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(script).stderr.splitlines()]


def test_an_event_is_one_line() -> None:
    (event,) = events("import structlog; structlog.get_logger().error('a\\nb', why='c\\ud800')")
    assert (event["event"], event["level"], event["why"]) == ("a\nb", "error", "c\ud800")


def test_what_libraries_log_and_warn_of_are_events() -> None:
    logged, exported, warned = events(
        "import logging, warnings\n"
        "logging.getLogger('asyncio').error('took %s', 'long')\n"
        "logging.getLogger('opentelemetry.exporter.otlp').error('Failed to export span batch code: %d', 503)\n"
        "logging.getLogger('httpx').info('too much to tell')\n"
        "warnings.warn('old', UserWarning)\n"
    )
    assert (logged["event"], logged["logger"], logged["level"]) == ("took long", "asyncio", "error")
    assert (exported["event"], exported["level"]) == ("Failed to export span batch code: 503", "error")
    assert "UserWarning: old" in warned["event"]
    assert (warned["logger"], warned["level"]) == ("py.warnings", "warning")


def test_uncaught_exceptions_are_events_wherever_they_come_from() -> None:
    thread, ignored, main = events(
        "import threading\n"
        "def fail(): raise ValueError('in a thread')\n"
        "t = threading.Thread(target=fail, name='helper'); t.start(); t.join()\n"
        "class Bad:\n"
        "    def __del__(self): raise ValueError('in its end')\n"
        "Bad()\n"
        "raise ValueError('in the middle')\n"
    )
    assert (thread["thread"], thread["level"]) == ("helper", "critical")
    assert thread["exception"].endswith("ValueError: in a thread")
    assert ignored["exception"].endswith("ValueError: in its end")
    assert main["exception"].endswith("ValueError: in the middle")


def test_an_uncaught_exception_still_ends_the_process_with_1() -> None:
    assert run("raise ValueError").returncode == 1


def test_what_is_printed_to_stderr_arrives_as_it_is() -> None:
    done = run("import sys; print('a', 'b', file=sys.stderr); sys.stderr.write('c\\nd'); sys.stderr.write('e\\n')")
    assert done.stderr == b"a b\nc\nde\n"


def test_a_reader_that_never_reads_ends_the_process_all_the_same() -> None:
    pipe = Pipe()
    pipe.fill()
    done = run(
        "import structlog\n"
        "for _ in range(20_000): structlog.get_logger().error('again', text='x' * 200)\n"
        "print(logs.dropped() > 10_000)\n",
        pipe.write_fd,
    )
    pipe.close()
    assert (done.returncode, done.stdout) == (0, b"True\n")


def test_a_reader_that_is_gone_costs_every_line_and_no_exception() -> None:
    pipe = Pipe()
    pipe.close_reader()
    done = run(
        "import structlog\n"
        "for _ in range(100): structlog.get_logger().error('again')\n"
        "logs.close(60)\n"
        "print(logs.dropped())\n",
        pipe.write_fd,
    )
    pipe.close()
    assert (done.returncode, done.stdout) == (0, b"100\n")


def test_what_was_dropped_is_told_once_and_adds_up(tmp_path: Path) -> None:
    pipe = Pipe()
    filled = pipe.fill()
    code = (
        "from gateway.telemetry import logs\nlogs.start()\nlogs.configure('info', 'json')\n"
        "import structlog\n"
        "for number in range(10_000): structlog.get_logger().error('line', number=number, text='x' * 300)\n"
        "print(logs.dropped(), flush=True)\n"
        "input()\n"
    )
    argv = [sys.executable, "-c", code]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=pipe.write_fd)
    assert process.stdin is not None
    assert process.stdout is not None
    dropped = int(process.stdout.readline())
    pipe.read(filled)
    told = [json.loads(line) for line in pipe.read_lines(10_000 - dropped + 1)]
    process.communicate(b"\n")
    pipe.close()
    assert [event["number"] for event in told[:-1]] == list(range(10_000 - dropped))
    assert (told[-1]["event"], told[-1]["lines_dropped"]) == ("log lines were dropped", dropped)
    assert 0 < dropped < 10_000


def test_closed_descriptors_are_held_and_open_ones_left_alone() -> None:
    code = (
        "import os; os.close(0); os.close(2)\n"
        "from gateway.telemetry.standard_streams import hold_descriptors\n"
        "hold_descriptors()\n"
        "print([os.readlink(f'/proc/self/fd/{fd}') for fd in (0, 2)], os.open('/', os.O_RDONLY) > 2)\n"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"['/dev/null', '/dev/null'] True\n"


def test_the_end_that_waits_for_a_reader_keeps_nobody_from_saying_something() -> None:
    pipe = Pipe()
    try:
        pipe.fill()
        done = run(
            "import threading, structlog\n"
            "log = structlog.get_logger()\n"
            "log.info('waits for the reader')\n"
            "ending = threading.Thread(target=logs.close, args=(3600,), daemon=True); ending.start()\n"
            "while not logs._started[0]._outlet._closed: pass\n"
            "log.info('too late, and does not wait')\n"
            "print(ending.is_alive(), logs.dropped())\n",
            stderr=pipe.write_fd,
        )
        assert done.stdout == b"True 1\n"
    finally:
        pipe.close()
