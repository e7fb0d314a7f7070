"""CPU and memory are read right from /proc text, and of the right processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.processes import proc

STAT = "4711 (a (b) c) S 1 4700 4690 0 -1 4194560 5000 0 3 0 120 45 0 0 20 0 4 0 99999 300000 700 18446744073709551615"
ROLLUP = (
    "00400000-7fff0000 ---p 00000000 00:00 0    [rollup]\nRss:               10240 kB\nPss:                2048 kB\n"
)


def _stat(pid: int, parent: int, session: int) -> proc.ProcessStat:
    return proc.ProcessStat(pid, parent, session, 0)


def _process(root: Path, pid: int, stat: str, rollup: str | None) -> None:
    (root / str(pid)).mkdir()
    (root / str(pid) / "stat").write_text(stat)
    if rollup is not None:
        (root / str(pid) / "smaps_rollup").write_text(rollup)


def test_a_name_with_blanks_and_parentheses_does_not_shift_the_fields() -> None:
    assert proc.ProcessStat(4711, 1, 4690, 165) == proc.parse_stat(STAT)


def test_rss_is_in_bytes() -> None:
    assert proc.parse_rss_bytes(ROLLUP) == 10240 * 1024


def test_a_process_without_memory_has_no_rss() -> None:
    assert proc.parse_rss_bytes("") == 0


def test_busy_time_leaves_out_idle_and_waiting_for_disks_and_guests() -> None:
    assert proc.parse_busy_ticks("cpu  100 20 30 4000 500 6 7 8 90 91\ncpu0 1 1 1 1") == 100 + 20 + 30 + 6 + 7 + 8


def test_the_family_holds_descendants_and_the_session_and_nobody_else() -> None:
    root, child, grandchild = _stat(10, 1, 10), _stat(11, 10, 10), _stat(12, 11, 12)
    daemonised, its_child = _stat(13, 1, 10), _stat(14, 13, 14)
    stranger = _stat(15, 1, 1)

    family = proc.family(10, [its_child, stranger, grandchild, daemonised, child, root])

    assert [root, child, grandchild, daemonised, its_child] == family


def test_cpu_and_rss_are_summed_over_the_family(tmp_path: Path) -> None:
    _process(tmp_path, 10, "10 (gateway) S 1 10 10 0 0 0 0 0 0 0 100 50 0 0", ROLLUP)
    _process(tmp_path, 11, "11 (worker) S 10 10 10 0 0 0 0 0 0 0 30 20 0 0", ROLLUP)
    _process(tmp_path, 12, "12 (other) S 1 12 12 0 0 0 0 0 0 0 9000 9000 0 0", ROLLUP)
    (tmp_path / "meminfo").write_text("")

    assert 200 / os.sysconf("SC_CLK_TCK") == proc.cpu_s(10, tmp_path)
    assert proc.rss_bytes(10, tmp_path) == 2 * 10240 * 1024


def test_those_with_an_argument_are_told_apart(tmp_path: Path) -> None:
    _process(tmp_path, 10, "10 (gateway) S 1 10 10 0 0 0 0 0 0 0 100 50 0 0", None)
    _process(tmp_path, 11, "11 (writer) S 10 10 10 0 0 0 0 0 0 0 30 20 0 0", None)
    _process(tmp_path, 12, "12 (gone) S 10 10 10 0 0 0 0 0 0 0 5 5 0 0", None)
    (tmp_path / "10" / "cmdline").write_text("penstock\0serve\0--config\0gateway.store.yaml\0")
    (tmp_path / "11" / "cmdline").write_text("python\0-P\0-m\0gateway.store\0007\0")

    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    assert proc.cpu_apart_s(10, "gateway.store", tmp_path) == (160 * tick_s, 50 * tick_s)


def test_a_process_that_ends_while_we_look_is_left_out(tmp_path: Path) -> None:
    _process(tmp_path, 10, "10 (gateway) S 1 10 10 0 0 0 0 0 0 0 100 50 0 0", None)
    (tmp_path / "11").mkdir()

    assert 150 / os.sysconf("SC_CLK_TCK") == proc.cpu_s(10, tmp_path)
    assert proc.rss_bytes(10, tmp_path) == 0


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux' /proc")
def test_a_real_child_is_found_with_its_memory() -> None:
    program = "import sys; print('ready', flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert [child.pid] == [stat.pid for stat in proc.family(child.pid, proc.read_all())]
        assert proc.rss_bytes(child.pid) > 1024 * 1024
        child.communicate(b"")
