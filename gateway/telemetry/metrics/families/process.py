"""The processes themselves, under the names that every Prometheus client uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from gateway.telemetry.metrics.family import Family
from gateway.telemetry.metrics.series import Series
from gateway.telemetry.metrics.text import head, number
from gateway.telemetry.process_stats import process_stats


def _of_process(name: str, type: Literal["counter", "gauge"], text: str) -> Family:
    return Family(f"process_{name}", type, text)


FAMILIES = (
    _of_process("virtual_memory_bytes", "gauge", "Virtual memory size in bytes."),
    _of_process("resident_memory_bytes", "gauge", "Resident memory size in bytes."),
    _of_process("start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds."),
    _of_process("cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds."),
    _of_process("open_fds", "gauge", "Number of open file descriptors."),
    _of_process("max_fds", "gauge", "Maximum number of open file descriptors."),
)
_BY_NAME = {family.name: family for family in FAMILIES}


def lines(_all_series: list[Series], pids: tuple[int, ...]) -> Iterator[str]:
    """What cannot be read is left out."""
    for name, value in process_stats(pids).items():
        yield f"{head(_BY_NAME[name])}{name} {number(value)}\n"
