"""`penstock simulate-admission`: whether admission lets in what will be in time, and shares a full fleet fairly."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("simulate-admission")(simulate_admission)


def simulate_admission(
    seeds: Annotated[int, typer.Option(min=2, help="how many times, each with other arrivals")] = 4,
    duration: Annotated[float, typer.Option(min=10, help="virtual seconds of each, after the warm-up")] = 300.0,
) -> None:
    """Judge admission against an oracle that knows every service time, in virtual time. Status 1: a bar is missed."""
    from gateway.virtual.admission.cases import cases, table

    rows = list(cases(seeds, duration, lambda line: print(line, file=sys.stderr)))
    print(table(rows, seeds, duration), end="")
    if not all(row.holds for row in rows):
        raise typer.Exit(1)
