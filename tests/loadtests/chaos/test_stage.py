"""What the chaos sees of the gateway's processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.chaos.stage import Open, descriptors, is_worker


@pytest.mark.parametrize(
    ("command", "worker"),
    [
        (b"/usr/bin/python\0-P\0-m\0gateway.workers\x0019\x002\x000\0", True),
        (b"/usr/bin/python\0-P\0-m\0gateway.control.reader\0", False),
        (b"/usr/bin/python\0/bin/penstock\0serve\0--workers\x002\0", False),
        (b"", False),
    ],
)
def test_the_reader_of_a_configuration_is_no_worker(tmp_path: Path, command: bytes, worker: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(command)
    assert is_worker(7, tmp_path) == worker


def test_a_process_that_is_gone_is_no_worker(tmp_path: Path) -> None:
    assert not is_worker(7, tmp_path)


TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:A000 0100007F:2328 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:B000 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0
"""


def test_descriptors_are_told_by_kind_but_for_connections_to_engines(tmp_path: Path) -> None:
    place = tmp_path / "7"
    (place / "net").mkdir(parents=True)
    (place / "net" / "tcp").write_text(TCP)
    (place / "fd").mkdir()
    sockets = [f"socket:[{inode}]" for inode in (11, 12, 13, 14)]
    links = ["/dev/null", "pipe:[5]", *sockets, "anon_inode:[eventfd]"]
    for number, link in enumerate(links):
        (place / "fd" / str(number)).symlink_to(link)
    found = descriptors(7, {9000}, tmp_path)
    assert {one.number: one.kind for one in found} == {
        0: "file",
        1: "pipe",
        2: "listening",
        4: "tcp",
        5: "socket",
        6: "anon_inode",
    }
    assert Open(7, 1, "pipe:[5]", "pipe") in found
    assert descriptors(7, set(), tmp_path) - found == {Open(7, 3, "socket:[12]", "tcp")}


def test_a_process_that_is_gone_has_no_descriptors(tmp_path: Path) -> None:
    assert descriptors(7, set(), tmp_path) == set()
