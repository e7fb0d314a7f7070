"""CPU, memory and descriptors of processes, from /proc, under the names that every Prometheus client uses.

Our own rather than prometheus-client's collector, because a scrape shares a thread with streams: that one lists every
descriptor (18 ms at 19,000 of them; asking the directory for its size takes 4 us), reads /proc/stat each time, and
fails the scrape when descriptors are unlimited. Promise: what cannot be read is left out, and nothing is raised.
"""

from __future__ import annotations

import functools
import math
import os
import pathlib
from collections.abc import Iterable

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SMALLEST = frozenset({"process_start_time_seconds", "process_max_fds"})


def process_stats(pids: Iterable[int], proc: pathlib.Path = pathlib.Path("/proc")) -> dict[str, float]:
    """The metrics of all these processes as if they were one; one that is gone adds nothing.

    CPU, memory and descriptors add up; of start times and limits the smallest shows.
    """
    total: dict[str, float] = {}
    for pid in pids:
        for name, value in (*_stat(proc, pid), *_descriptors(proc, pid)):
            if name not in total:
                total[name] = value
            elif name in _SMALLEST:
                total[name] = min(total[name], value)
            else:
                total[name] += value
    return total


def _stat(proc: pathlib.Path, pid: int) -> Iterable[tuple[str, float]]:
    """See proc_pid_stat(5); the fields are counted from the third, as the second may hold spaces."""
    try:
        booted_s = _boot_time_s(proc)
        fields = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ()
    user, system, started, virtual, resident = (int(fields[index]) for index in (11, 12, 19, 20, 21))
    return (
        ("process_virtual_memory_bytes", virtual),
        ("process_resident_memory_bytes", resident * PAGE_BYTES),
        ("process_start_time_seconds", booted_s + started / TICKS_PER_S),
        ("process_cpu_seconds_total", (user + system) / TICKS_PER_S),
    )


def _descriptors(proc: pathlib.Path, pid: int) -> Iterable[tuple[str, float]]:
    try:
        limits = (proc / str(pid) / "limits").read_bytes()
        opened = _open_fds(proc / str(pid) / "fd")
    except OSError:
        return ()
    soft, *_ = limits.partition(b"Max open files")[2].split(maxsplit=1) or [b""]
    if not soft:
        return ()  # the process is at its end
    return (
        ("process_open_fds", opened),
        ("process_max_fds", math.inf if soft == b"unlimited" else int(soft)),
    )


def _open_fds(directory: pathlib.Path) -> int:
    """Linux tells the number as the directory's size since 6.2, and 0 before."""
    return directory.stat().st_size or sum(1 for _ in directory.iterdir())


@functools.cache
def _boot_time_s(proc: pathlib.Path) -> float:
    """Unix seconds. Raises OSError."""
    text = (proc / "stat").read_bytes()
    return float(text.partition(b"\nbtime ")[2].split(maxsplit=1)[0])
