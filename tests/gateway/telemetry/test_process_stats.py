"""Process metrics, against prometheus-client's collector over the same made-up /proc."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.process_collector import ProcessCollector

from gateway.telemetry.metrics.families import BY_NAME
from gateway.telemetry.process_stats import process_stats

GONE = 2**31 - 1


def write_process(proc: Path, pid: int, *, cpu_ticks: int, started_ticks: int, pages: int, fds: str) -> None:
    fields = ["R", *("0" for _ in range(49))]
    fields[11] = fields[12] = str(cpu_ticks)
    fields[19], fields[20], fields[21] = str(started_ticks), str(pages * 8192), str(pages)
    directory = proc / str(pid)
    directory.mkdir()
    (directory / "stat").write_text(f"{pid} (a) b (c) {' '.join(fields)}\n")
    (directory / "limits").write_text(
        "Limit                     Soft Limit           Hard Limit           Units\n"
        "Max processes             96365                96365                processes\n"
        f"Max open files            {fds:20} 524288               files\n"
        "Max locked memory         8388608              8388608              bytes\n"
    )
    (directory / "fd").mkdir()


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_text("cpu  1 2 3\nintr 9 9 9\nctxt 5\nbtime 1777863721\nprocesses 4\n")
    write_process(tmp_path, 7, cpu_ticks=150, started_ticks=6000, pages=300, fds="20000")
    write_process(tmp_path, 8, cpu_ticks=50, started_ticks=9000, pages=100, fds="1024")
    return tmp_path


def reference(pid: int, proc: Path) -> dict[str, float]:
    collector = ProcessCollector(pid=lambda: pid, proc=str(proc), registry=None)
    return {sample.name: sample.value for metric in collector.collect() for sample in metric.samples}


def test_one_process_reads_as_prometheus_client_reads_it(proc: Path) -> None:
    ours, theirs = process_stats([7], proc), reference(7, proc)
    # The size of a directory is the number of its entries in /proc only.
    assert ours.pop("process_open_fds") > 0
    assert theirs.pop("process_open_fds") == 0
    assert ours == theirs


def test_processes_add_up_and_show_the_smallest_limit_and_the_first_start(proc: Path) -> None:
    one, two, both = process_stats([7], proc), process_stats([8], proc), process_stats([7, 8], proc)
    assert both == {
        "process_virtual_memory_bytes": 400 * 8192,
        "process_resident_memory_bytes": 400 * os.sysconf("SC_PAGE_SIZE"),
        "process_start_time_seconds": one["process_start_time_seconds"],
        "process_cpu_seconds_total": 400 / os.sysconf("SC_CLK_TCK"),
        "process_open_fds": one["process_open_fds"] + two["process_open_fds"],
        "process_max_fds": 1024,
    }


def test_a_process_that_is_gone_adds_nothing(proc: Path) -> None:
    assert process_stats([7, GONE], proc) == process_stats([7], proc)
    assert process_stats([GONE], proc) == {}


def test_without_proc_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert process_stats([os.getpid()], tmp_path / "none") == {}


@pytest.mark.parametrize("lost", ["forbidden", "at its end"])
def test_what_cannot_be_read_is_left_out(proc: Path, lost: str) -> None:
    limits = proc / "7" / "limits"
    limits.write_text("") if lost == "at its end" else limits.unlink()
    assert sorted(process_stats([7], proc)) == [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
    ]


def test_unlimited_descriptors_are_infinitely_many(proc: Path) -> None:
    write_process(proc, 9, cpu_ticks=0, started_ticks=0, pages=1, fds="unlimited")
    assert process_stats([9], proc)["process_max_fds"] == math.inf
    assert process_stats([7, 9], proc)["process_max_fds"] == 20000


def test_every_open_descriptor_counts() -> None:
    before = process_stats([os.getpid()])["process_open_fds"]
    ends = os.pipe()
    try:
        assert process_stats([os.getpid()])["process_open_fds"] == before + 2
    finally:
        for end in ends:
            os.close(end)


def test_on_an_old_kernel_descriptors_are_listed(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("0", "1", "2"):
        (proc / "7" / "fd" / name).touch()

    def no_size(path: Path) -> os.stat_result:
        return os.stat_result((0o40555, 0, 0, 1, 0, 0, 0, 0, 0, 0))

    monkeypatch.setattr(Path, "stat", no_size)
    assert process_stats([7], proc)["process_open_fds"] == 3


def test_names_types_and_help_are_those_every_prometheus_client_uses(proc: Path) -> None:
    registry = CollectorRegistry()
    registry.register(ProcessCollector(pid=lambda: 7, proc=str(proc), registry=None))
    heads = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("#")]
    expected: list[str] = []
    for name in process_stats([7], proc):
        expected += f"# HELP {name} {BY_NAME[name].text}", f"# TYPE {name} {BY_NAME[name].type}"
    assert heads == expected
