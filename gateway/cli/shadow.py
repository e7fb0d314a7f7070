"""`penstock shadow report`: what a shadow's answers are like, next to those that clients got."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gateway.cli.store import ConfigOption, JsonOption, SinceOption, StoreOption, UntilOption, reading, time_ms

MEASURES = {
    "measure": "measure",
    "pairs": "pairs",
    "original": "original",
    "copy": "copy",
    "difference": "difference",
    "low": "from",
    "high": "to",
}
SCORES = {"metric": "score", "pairs": "pairs", "mean": "mean", "low": "from", "high": "to"}


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="What copies of requests were answered with.", no_args_is_help=True)
    group.callback()(_group)
    group.command("report")(report)
    app.add_typer(group, name="shadow")


def _group() -> None:
    """One command today; the name of a group stays what it is when another one comes."""


def report(
    model: Annotated[str, typer.Argument(help="the public name")],
    since: SinceOption = "7d",
    until: UntilOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    store: StoreOption = None,
) -> None:
    """Compare each copied request's answer with its copy's: time, length, cost, errors, and how alike the texts are.

    Differences are the copy's less the original's, within each pair; 95 % bounds that hold at every look at once.
    """
    from gateway.cli.table import table
    from gateway.store.evaluations.report import WantedPairs, pairs_report, sentences
    from gateway.store.reports.requests import FAR_MS

    wanted = WantedPairs(model, time_ms(since), time_ms(until) if until else FAR_MS)
    with reading(config, store) as connection:
        groups = pairs_report(connection, wanted)
    if as_json:
        print(json.dumps({"data": groups}, indent=1))
        return
    if not groups:
        print(f"no copies of {model!r} are in the store since then")
    for at, group in enumerate(groups):
        served = f"{group['engine']}/{group['upstream_model']}, bundle {group['bundle'] or '-'}"
        left = f" (and {group['left']:,} without a comparison: broken off, or refused by both)" if group["left"] else ""
        print(("\n" if at else "") + f"{model} against {served}: {group['pairs']:,} pairs{left}")
        print(f"{group['from']} to {group['to']}\n")
        print(table(group["measures"], MEASURES))
        if group["scores"]:
            print("\n" + table(group["scores"], SCORES))
        for sentence in sentences(group):
            print(("" if sentence != sentences(group)[0] else "\n") + sentence)
