"""`penstock-load trace`: what can be done with a recording without sending it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from loadtests.traces.convert import convert

EXIT_NOT_CONVERTED = 2

app = typer.Typer(no_args_is_help=True, help="Recordings: convert them.")


@app.callback()
def root() -> None:
    """Recordings: convert them."""


@app.command("convert")
def convert_command(
    source: Annotated[Path, typer.Argument(help="an Azure LLM, BurstGPT or Mooncake trace, or a run's records.jsonl")],
    target: Annotated[
        Path, typer.Argument(help="the file to write, for `penstock simulate-routing` and `autoscale simulate`")
    ],
) -> None:
    """Write a recording as the arrivals that `penstock simulate-routing` and `autoscale simulate` play."""
    try:
        count = convert(source, target)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(EXIT_NOT_CONVERTED) from None
    print(f"{target}: {count} arrivals")
