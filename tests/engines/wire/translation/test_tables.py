"""The tables of docs/providers.md are those of the code."""

from __future__ import annotations

from pathlib import Path

from engines.wire import tables
from engines.wire.translation import EGRESS

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "providers.md"


def test_the_document_has_the_tables_of_the_code() -> None:
    text = DOCUMENT.read_text()
    for table in (tables.taken(), tables.finishes(), tables.unary()):
        assert "\n".join(table) in text, "run python -m engines.wire.tables"


def test_every_format_says_how_it_ends() -> None:
    assert EGRESS.keys() == tables.FINISHES.keys()
