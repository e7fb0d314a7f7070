"""A worker that has no descriptor left says so."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import structlog

from gateway.refusing import shortage
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.loops import OUT_OF_DESCRIPTORS
from gateway.workers.descriptors import look

pytestmark = pytest.mark.anyio


def counted(metrics: Metrics) -> list[float]:
    return [one.value for one in metrics.snapshot().counters if one.name == OUT_OF_DESCRIPTORS.name]


async def test_while_none_is_left_each_look_counts_and_one_line_says_what_that_means() -> None:
    def opened() -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    metrics = Metrics(())
    shortage.over()  # one that an earlier test of this process had
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await look(metrics, opened)
    assert counted(metrics) == [3.0]
    assert [line["event"] for line in lines] == ["out_of_sockets"]
    assert "new clients are let go" in lines[0]["why"]


def open_now() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_one_that_is_left_is_given_back() -> None:
    before = open_now()
    await look(Metrics(()))
    assert open_now() == before


async def test_what_is_no_shortage_is_an_error() -> None:
    def opened() -> int:
        raise OSError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        await look(Metrics(()), opened)
