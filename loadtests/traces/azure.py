"""Azure LLM inference traces of 2023 and 2024 (github.com/Azure/AzurePublicDataset).

Columns `TIMESTAMP,ContextTokens,GeneratedTokens`. Times are dates, without zone in 2023 (`2023-11-16 18:17:03.9799600`)
and with one in 2024; the seventh digit is lost.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TextIO

from loadtests.traces.table import lines
from loadtests.traces.trace import Rows, Trace

COLUMNS = {"TIMESTAMP", "ContextTokens", "GeneratedTokens"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def read(file: TextIO, rows: Rows) -> Trace:
    """Read the rows. Raises TraceError."""
    line = 1
    for line, (at, prompt, output) in lines(file, rows, ("TIMESTAMP", "ContextTokens", "GeneratedTokens")):
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            raise rows.refuse(
                line, f"TIMESTAMP is {at[:40]!r}", "a date and time such as 2023-11-16 18:17:03.9799600"
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        rows.add(
            line,
            (moment - _EPOCH) // _MICROSECOND * 1000,
            rows.count(line, "ContextTokens", prompt),
            rows.count(line, "GeneratedTokens", output),
        )
    return rows.done(line)
