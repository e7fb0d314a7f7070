"""`penstock cost report`: what it all cost."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gateway.cli.store import ConfigOption, JsonOption, SinceOption, StoreOption, UntilOption, reading, time_ms

MEASURES = {
    "requests": "requests",
    "errors": "errors",
    "input_tokens": "input",
    "cached_tokens": "cached",
    "output_tokens": "output",
    "cost_usd": "USD",
    "unpriced": "unpriced",
    "estimated": "estimated",
}


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="What requests cost.", no_args_is_help=True)
    group.command("report")(report)
    app.add_typer(group, name="cost")


def report(
    by: Annotated[
        str, typer.Option(help="with commas between: model, engine, upstream_model, arm, tenant, key, day, hour")
    ] = "model",
    since: SinceOption = "30d",
    until: UntilOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    store: StoreOption = None,
) -> None:
    """Sum up requests, tokens and US dollars.

    `unpriced` requests reached an engine whose price nobody knows: their cost is unknown, not zero.
    """
    from gateway.cli.table import table
    from gateway.store import reports
    from gateway.store.reading import FAR_MS

    names = tuple(name.strip() for name in by.split(",") if name.strip())
    wanted = reports.WantedSums(names, time_ms(since), time_ms(until) if until else FAR_MS)
    with reading(config, store) as connection:
        rows = reports.report(connection, wanted)
    print(json.dumps(rows, indent=1) if as_json else table(rows, {**{name: name for name in names}, **MEASURES}))
