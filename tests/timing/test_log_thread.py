"""How long the access log's thread can keep the loop waiting. CPU time of that thread is the measure: it is what other
processes do not disturb, and written to /dev/null it is nearly all spent under the interpreter lock."""

from __future__ import annotations

import threading
import time

import pytest

from gateway.telemetry.access_log import AccessLog
from tests.gateway.telemetry.records import record

pytestmark = pytest.mark.timing

LINES = 100_000
THREAD_US_PER_BLOCK = 40.0
"""For some 190 lines, its waking included; a thread that encodes them takes 130 us and more."""
MULTIPLE = 3


def test_the_writing_thread_computes_next_to_nothing() -> None:
    log = AccessLog("/dev/null", bound_bytes=1 << 30)
    (thread,) = (one for one in threading.enumerate() if one.name == "access_log")
    assert thread.ident is not None
    clock = time.pthread_getcpuclockid(thread.ident)
    one = record(engine="fixed", replica="127.0.0.1:9000", upstream_model="m", usage_source="reported", key_id="bench")
    blocks = LINES * 300 / 65536
    before_s, loop_before_s = time.clock_gettime(clock), time.thread_time()
    for _ in range(LINES):
        log.write(one)
    loop_us = (time.thread_time() - loop_before_s) * 1e6 / LINES
    log.flush()
    while log.backlog_bytes:
        time.sleep(0.01)
    thread_us = (time.clock_gettime(clock) - before_s) * 1e6 / blocks
    log.close(60)
    assert log.dropped == 0
    assert thread_us < THREAD_US_PER_BLOCK * MULTIPLE, f"loop {loop_us:.2f} us a line, thread {thread_us:.0f} a block"
