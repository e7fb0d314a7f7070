"""Only regular files of a bounded size are read; nothing blocks and nothing is without end."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from engines.files import NotNow, NotReadable, content_or_reason, read_regular
from gateway.settings import ConfigError, read_source


def test_a_regular_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2048)
    assert read_regular(file, 2048) == b"x" * 2048
    with pytest.raises(NotReadable, match="it is larger than 1 KiB"):
        read_regular(file, 2047)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, why in [
        (tmp_path / "fifo", "it is not a regular file"),
        (Path("/dev/zero"), "it is not a regular file"),
        (tmp_path, "it is not a regular file"),
        (tmp_path / "none", "no such file or directory"),
        (tmp_path / "a\0b", "the path holds a NUL"),
    ]:
        with pytest.raises(NotReadable, match=why):
            read_regular(path, 1024)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_what_this_process_lacks_says_nothing_about_the_file(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(*_: object) -> int:
        raise OSError(number, "No more")

    with monkeypatch.context() as patched:
        patched.setattr("os.open", full)
        with pytest.raises(NotNow, match="no more"):
            content_or_reason(Path("any"), 10)
    assert content_or_reason(Path("/nowhere/at/all"), 10) == b"no such file or directory"


def test_a_link_to_a_regular_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "link", 10) == b"text"


def test_a_file_of_the_kernel_that_has_no_size_is_bounded_all_the_same() -> None:
    with pytest.raises(NotReadable, match="larger than"):
        read_regular(Path("/proc/self/status"), 10)


def test_a_configuration_that_is_a_pipe_is_a_complaint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "penstock.yaml")
    with pytest.raises(ConfigError, match="cannot be read: it is not a regular file"):
        read_source(tmp_path / "penstock.yaml")


def test_why_a_configuration_cannot_be_read_speaks_of_no_option() -> None:
    """It may have been given as an argument."""
    with pytest.raises(ConfigError) as refused:
        read_source(Path("/nowhere/penstock.yaml"))
    (problem,) = refused.value.problems
    assert (problem.message, problem.hint) == ("cannot be read: no such file or directory", "check the path")
