"""What the lane prints at its end: the tables of clients by cases, and of clients and providers by cases."""

from __future__ import annotations

import re

import pytest

from tests.clients.plan import REFUSED

TABLES = {
    "clients by cases": re.compile(r"test_a_client_of_\w+\[(?P<row>.+)-(?P<case>\w+)\]$"),
    "clients before providers, by cases": re.compile(r"test_a_client_of_\w+_before\[(?P<row>.+)-(?P<case>\w+)\]$"),
}
MARKS = {"passed": "ok", "failed": "FAILED", "error": "ERROR", "skipped": "-"}


def tables(outcomes: dict[str, str]) -> dict[str, list[str]]:
    """The lines of each table, by its title, of what came of tests by their names; none of which there is no cell.
    `400` is a parameter that the provider has not, refused by its name."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for name, came in outcomes.items():
        for title, of_cell in reversed(TABLES.items()):
            if cell := of_cell.search(name):
                client, _, provider = cell["row"].rpartition("-")
                refused = cell["case"] in REFUSED.get((client, provider), ())
                found.setdefault(title, {})[cell["row"], cell["case"]] = "400" if refused and came == "ok" else came
                break
    return {title: _lines(cells) for title, cells in found.items()}


def _lines(cells: dict[tuple[str, str], str]) -> list[str]:
    rows = list(dict.fromkeys(row for row, _ in cells))
    cases = list(dict.fromkeys(case for _, case in cells))
    first = max(map(len, rows))
    lines = [" ".join([" " * first, *cases])]
    for row in rows:
        # What a client has no way to ask is an empty cell.
        told = [cells.get((row, case), "").ljust(len(case)) for case in cases]
        lines.append(" ".join([row.ljust(first), *told]).rstrip())
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = {
        report.nodeid: mark
        for came, mark in MARKS.items()
        for report in terminalreporter.stats.get(came, ())
        if isinstance(report, pytest.TestReport)
    }
    for title, lines in tables(outcomes).items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)
