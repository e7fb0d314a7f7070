"""What docs/coming-from.md says stands where it says, and what it shows can be loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engines.registry import KINDS
from gateway.settings import load_settings
from gateway.settings.schema import Settings
from gateway.settings.sections.models import Model
from gateway.settings.sections.targets import Target

PAGE = Path(__file__).resolve().parents[3] / "docs" / "coming-from.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the pages are not beside these tests")
FIELDS = {
    "top level": set(Settings.model_fields),
    "`engines.NAME`": {name for kind in KINDS.values() for name in kind.model_fields},
    "`models.NAME`": set(Model.model_fields),
    "`models.NAME.targets`": set(Target.model_fields),
}
WITHOUT = {"several entries of one `model_name`"}
"""Rows that name a section in words alone."""


def rows() -> list[tuple[str, str, str]]:
    if not PAGE.is_file():
        return []
    lines = [line.strip("|").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [(cells[0].strip(), cells[1], cells[2].strip()) for cells in lines if cells[2].strip() in FIELDS]


def test_most_rows_say_where_their_key_stands() -> None:
    assert len(rows()) > 20


@pytest.mark.parametrize(("theirs", "ours", "where"), rows(), ids=[row[0] for row in rows()])
def test_the_key_of_a_row_stands_at_its_level(theirs: str, ours: str, where: str) -> None:
    written = re.findall(r"`\{?([a-z_]+)", ours)
    assert (theirs in WITHOUT) or FIELDS[where] & set(written), ours


@pytest.mark.parametrize("number", range(2))
def test_what_is_shown_loads(number: int) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    settings = load_settings(blocks[number], {"OPENAI_API_KEY": "sk-x", "VLLM_API_KEY": "sk-y"}).settings
    assert settings.retry.max_attempts == 3
