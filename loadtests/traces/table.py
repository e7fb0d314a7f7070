"""The lines of a CSV trace as (line number, fields by column name)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TextIO

from loadtests.traces.trace import Rows


def lines(file: TextIO, rows: Rows, wanted: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """The wanted columns of every line after the header, in that order; columns in any order, others ignored.

    Raises TraceError when a line has not as many fields as the header.
    """
    reader = csv.reader(file)
    try:
        header = [name.removeprefix("\ufeff").strip() for name in next(reader)]
        places = [header.index(name) for name in wanted]
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise rows.refuse(reader.line_num, f"{len(fields)} fields", f"{len(header)}, as in the header")
            yield reader.line_num, [fields[place].strip() for place in places]
    except csv.Error as error:
        raise rows.refuse(reader.line_num, str(error), "a line of comma-separated values") from None
