"""The access line as a person reads it, where the access log is a terminal. The JSON line has the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gateway.accounts.record import RequestRecord
from gateway.telemetry.metrics.counting import OTHER
from gateway.telemetry.terminal import CYAN, DIM, GREEN, RED, YELLOW, painted, printable

MOST_LETTERS: Final = 200
"""Of one field."""

Lines = Callable[[Sequence[RequestRecord]], bytes]


def readable(*, colours: bool) -> Lines:
    """What makes lines of records."""

    def lines(records: Sequence[RequestRecord]) -> bytes:
        return "".join([_line(record, colours) for record in records]).encode(errors="backslashreplace")

    return lines


def _line(record: RequestRecord, colours: bool) -> str:
    status = record.status
    # A stream that is cut has told its client 200 already, and is no success.
    colour = YELLOW if 400 <= status < 500 else RED if status >= 500 or record.error else GREEN
    where = f"{record.engine}/{record.replica}" if record.replica else record.engine
    # `other` is no name to look for: what was asked for is, or nothing was.
    asked = f"'{record.asked_model}'" if record.asked_model else "-" if record.model == OTHER else ""
    told = [
        painted(record.time[11:19], DIM, colours=colours),
        painted(str(status), colour, colours=colours),
        record.operation,
        painted(printable(asked or record.model, MOST_LETTERS), CYAN, colours=colours),
        f"-> {printable(where, MOST_LETTERS)}" if where else "",
        f"{record.duration_ms:.0f} ms",
        f"(first byte {record.ttft_ms:.0f} ms)" if record.stream and record.ttft_ms is not None else "",
        f"{record.input_tokens} in, {record.output_tokens} out" if record.input_tokens is not None else "",
        f"${record.cost_usd:.6f}" if record.cost_usd else "",
        f"{record.attempts} attempts" if record.attempts > 1 else "",
        painted(record.error, colour, colours=colours),
        printable(record.reason, MOST_LETTERS),
    ]
    return " ".join([part for part in told if part]) + "\n"
