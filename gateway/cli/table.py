"""Rows as a table for a terminal: numbers to the right, texts to the left, nothing wrapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """`columns` are the members to show, with their headings."""
    numeric = {
        name: any(isinstance(row.get(name), (int, float)) and not isinstance(row.get(name), bool) for row in rows)
        for name in columns
    }
    lines = [list(columns.values()), *([_text(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    shown = []
    for line in lines:
        cells = [
            cell.rjust(width) if numeric[name] else cell.ljust(width)
            for cell, width, name in zip(line, widths, columns, strict=True)
        ]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def _text(value: Any) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() if 0 < value < 1e-6:  # some embeddings cost as little, which is not nothing
            return f"{value:.9f}".rstrip("0").rstrip(".")
        case float():
            return f"{value:,.6f}".rstrip("0").rstrip(".") if value < 1 else f"{value:,.2f}"
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))
