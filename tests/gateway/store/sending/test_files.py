"""What lies in files between a worker and the database: spilled batches, and how much each worker had settled."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.sending.settled import Settled, ended_runs
from gateway.store.sending.spill import Frames, Spill, directory_of, next_spilled, spilled_bytes


def read_all(data_dir: Path) -> list[bytes]:
    """Everything that nobody appends to, file after file, as the writer reads it."""
    parts: list[bytes] = []
    while True:
        with next_spilled(data_dir) as found:
            if found is None:
                return parts
            path, frames = found
            parts += frames
            path.unlink()


def framed(*parts: bytes) -> bytes:
    """A file with these."""
    return b"".join(struct.pack("<II", len(part), zlib.crc32(part)) + part for part in parts)


def test_what_was_spilled_is_read_once_it_is_closed(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "w")
    spill.append([b"one", b"1"])
    spill.append([b"two"])
    assert (read_all(tmp_path), spill.open) == ([], True)
    assert spilled_bytes(tmp_path) == 3 * 8 + 7
    spill.close()
    assert (read_all(tmp_path), spill.open) == ([b"one", b"1", b"two"], False)
    assert spilled_bytes(tmp_path) == 0


def test_a_file_ends_at_its_size_and_the_next_begins(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "w", file_bytes=100)
    for number in range(5):
        spill.append([bytes([number]) * 60])
    assert len(list(directory_of(tmp_path).iterdir())) == 3
    spill.close()
    assert sorted(read_all(tmp_path)) == [bytes([number]) * 60 for number in range(5)]


def test_two_processes_never_share_a_file(tmp_path: Path) -> None:
    first, second = Spill(tmp_path, "a"), Spill(tmp_path, "b")
    first.append([b"1"])
    second.append([b"2"])
    first.close()
    assert read_all(tmp_path) == [b"1"]
    second.close()
    assert read_all(tmp_path) == [b"2"]


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=6), st.data())
def test_of_a_file_that_was_cut_off_anywhere_the_whole_frames_count(parts: list[bytes], data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        spill = Spill(Path(directory), "w")
        spill.append(parts)
        spill.close()
        (path,) = directory_of(Path(directory)).iterdir()
        size = path.stat().st_size
        left = data.draw(st.integers(0, size))
        os.truncate(path, left)
        whole, at = 0, 0
        for part in parts:
            at += 8 + len(part)
            whole += at <= left
        assert read_all(Path(directory)) == parts[:whole]


def test_a_last_frame_that_is_cut_off_is_no_damage() -> None:
    data = framed(b"first", b"second")
    for end in (*range(5 + 8, len(data)), *(5 + 8 + more for more in range(8))):
        frames = Frames(data[:end])
        assert (list(frames), frames.damaged) == ([b"first"], 0)


@settings(deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=6), st.binary(min_size=1, max_size=80), st.data()
)
def test_what_is_whole_around_a_damaged_place_counts_and_the_place_is_told_of(
    parts: list[bytes], damage: bytes, data: st.DataObject
) -> None:
    whole = [framed(part) for part in parts]
    at = data.draw(st.integers(0, len(parts) - 1))
    where = data.draw(st.integers(0, len(whole[at]) - 1))
    hurt = whole[at][:where] + damage + whole[at][where + len(damage) :]
    frames = Frames(b"".join([*whole[:at], hurt, *whole[at + 1 :]]))
    found = list(frames)
    if hurt == whole[at]:
        assert (found, frames.damaged) == (parts, 0)
    elif at < len(parts) - 1:
        assert (found, frames.damaged) == (parts[:at] + parts[at + 1 :], 1)
    else:
        assert found == parts[:at]


def test_a_checksum_that_is_wrong_at_the_end_is_damage() -> None:
    frames = Frames(framed(b"first", b"second").replace(b"second", b"sEcond"))
    assert (list(frames), frames.damaged) == ([b"first"], 1)


def test_zeros_at_the_end_of_a_file_are_no_frames(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "w")
    spill.append([b"first"])
    spill.close()
    (path,) = directory_of(tmp_path).iterdir()
    path.write_bytes(path.read_bytes() + bytes(4096))
    assert read_all(tmp_path) == [b"first"]


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "spill").write_text("in the way")
    with pytest.raises(OSError, match="exists"):
        Spill(tmp_path, "w").append([b"x"])


def test_what_a_worker_settled_is_known_once_it_is_gone(tmp_path: Path) -> None:
    settled = Settled(tmp_path, "0123456789ab")
    settled.count[0] = 41
    with ended_runs(tmp_path) as ended:
        assert ended == []
    pid = os.fork()
    if not pid:  # a worker that is killed in the middle
        theirs = Settled(tmp_path, "ba9876543210")
        theirs.count[0] = 7
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    with ended_runs(tmp_path) as ended:
        assert [(run.run, run.settled) for run in ended] == [("ba9876543210", 7)]
        with ended_runs(tmp_path) as meanwhile:
            assert meanwhile == []  # nobody else counts it now
        ended[0].forget()
    settled.close()
    with ended_runs(tmp_path) as ended:
        assert [(run.run, run.settled) for run in ended] == [("0123456789ab", 41)]
