"""BurstGPT traces (github.com/HPMLL/BurstGPT).

Columns `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`. Times are seconds from the start of the
recording. A failed request has 0 response tokens. Files with session columns read alike: the sessions are not used.
"""

from __future__ import annotations

import math
from typing import TextIO

from loadtests.traces.table import lines
from loadtests.traces.trace import Rows, Trace

COLUMNS = {"Timestamp", "Request tokens", "Response tokens"}


def read(file: TextIO, rows: Rows) -> Trace:
    """Read the rows. Raises TraceError."""
    line = 1
    for line, (at, prompt, output) in lines(file, rows, ("Timestamp", "Request tokens", "Response tokens")):
        try:
            seconds = float(at)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < 1e9:
            raise rows.refuse(line, f"Timestamp is {at[:40]!r}", "seconds, 0 or more")
        rows.add(
            line,
            round(seconds * 1e9),
            rows.count(line, "Request tokens", prompt),
            rows.count(line, "Response tokens", output),
        )
    return rows.done(line)
