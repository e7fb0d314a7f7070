"""Which causes are asked for, and what a run tells that comes to no end."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

import loadtests.stall.__main__ as stall
from loadtests.stall.causes import causes
from loadtests.stall.stage import StallError
from loadtests.stall.table import Reading, Row


def test_without_words_all_causes_are_wanted_and_each_has_a_name_of_its_own() -> None:
    names = [cause.name for cause in stall.wanted([])]
    assert names == [cause.name for cause in causes()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("words", ["that tell", "counted", "edited", "control characters"])
def test_a_kind_of_causes_is_found_by_words_of_its_name(words: str) -> None:
    found = [cause.name for cause in stall.wanted([words])]
    assert len(found) > 1
    assert all(words in name for name in found)


def test_several_words_are_so_many_kinds_in_the_order_of_the_table() -> None:
    options = stall.parse_options(["--only", "that tell", "--only", "counted"])
    apart = [*stall.wanted(["counted"]), *stall.wanted(["that tell"])]
    assert [cause.name for cause in stall.wanted(options.only)] == [cause.name for cause in apart]


def test_words_of_no_name_are_an_error_that_tells_the_names() -> None:
    with pytest.raises(StallError, match=r"(?s)no cause .*one replica of 300 models x 64"):
        stall.wanted(["no such thing"])


@pytest.mark.parametrize(
    ("ending", "why"), [(KeyboardInterrupt(), "interrupted"), (StallError("it is not ready"), "it is not ready")]
)
def test_a_run_that_comes_to_no_end_tells_what_it_has(
    ending: BaseException, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def run(options: Namespace, work: Path, found: stall.Found) -> None:
        found.readings_us = [18.5]
        found.rows["penstock"] = [Row("a cause", 5.0, [Reading(1.25, 1.5, 0.1, 10)])]
        raise ending

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(stall, "run", run)
    assert stall.main([]) == 2
    told = capsys.readouterr()
    assert "a cause" in told.out
    assert "1.2" in told.out
    assert f"bench-stall: {why}" in told.err


def test_a_run_that_could_not_begin_tells_why_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert stall.main(["--only", "no such thing"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "no cause has a name with these words" in told.err
