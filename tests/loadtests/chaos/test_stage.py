"""What the chaos sees of the gateway's processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.chaos.stage import is_worker


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
