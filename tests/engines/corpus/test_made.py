"""The committed files are those that `make.py` makes."""

from __future__ import annotations

from pathlib import Path

from tests.engines.corpus.make import PROVIDERS, made, write
from tests.engines.corpus.meaning import HERE, cases


def test_what_is_committed_is_what_is_made(tmp_path: Path) -> None:
    write(tmp_path)
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.glob("*/*.*")}
    kept = {path.relative_to(HERE): path.read_bytes() for path in [*HERE.glob("*/*.json"), *HERE.glob("*/*.stream")]}
    assert fresh == kept


def test_it_is_read_as_it_was_written() -> None:
    assert sorted(cases(), key=lambda case: case.name) == sorted(made(), key=lambda case: case.name)


def test_every_provider_has_each_kind_of_trouble() -> None:
    missing = {
        f"{provider}/{script}"
        for provider in PROVIDERS
        for script in (
            "error-mid-stream",
            "truncated",
            "unfinished",
            "unknown-event",
            "refusal",
            "interleaved",
            "cached",
        )
    } - {case.name for case in cases()}
    assert missing == set()
