"""What the lane prints at its end: the table of clients by cases."""

from __future__ import annotations

import re

import pytest

_CELL = re.compile(r"test_a_client_of_python\[(?P<client>.+)-(?P<case>\w+)\]$")
MARKS = {"passed": "ok", "failed": "FAILED", "error": "ERROR", "skipped": "-"}


def table(outcomes: dict[str, str]) -> list[str]:
    """Lines of a table, of what came of tests by their names; no line where none is of a client and a case."""
    cells = {(found["client"], found["case"]): came for name, came in outcomes.items() if (found := _CELL.search(name))}
    clients = list(dict.fromkeys(client for client, _ in cells))
    cases = list(dict.fromkeys(case for _, case in cells))
    if not cells:
        return []
    first = max(map(len, clients))
    lines = [" ".join([" " * first, *cases])]
    for client in clients:
        # What a client has no way to ask is an empty cell.
        row = [cells.get((client, case), "").ljust(len(case)) for case in cases]
        lines.append(" ".join([client.ljust(first), *row]).rstrip())
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = {
        report.nodeid: mark
        for came, mark in MARKS.items()
        for report in terminalreporter.stats.get(came, ())
        if isinstance(report, pytest.TestReport)
    }
    lines = table(outcomes)
    if lines:
        terminalreporter.section("clients by cases")
        for line in lines:
            terminalreporter.write_line(line)
