"""`penstock drift report` and `freeze`: whether models are still what they were."""

from __future__ import annotations

import json
import pathlib
import urllib.parse
from typing import Annotated, Any

import typer

from gateway.cli.admin_api import Config, Key, Url, reached
from gateway.cli.ending import end

PATH = "/admin/v1/drift"
COLUMNS = {
    "model": "model",
    "arm": "arm",
    "route": "route",
    "signal": "signal",
    "state": "state",
    "reference": "reference",
    "current": "last hour",
    "value": "PSI",
    "shift_sd": "moved by sd",
    "evidence": "evidence",
    "alarmed": "last alarm",
}


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="Whether models are still what they were.", no_args_is_help=True)
    group.command("report")(report)
    group.command("freeze")(freeze)
    app.add_typer(group, name="drift")


def report(
    html: Annotated[
        pathlib.Path | None, typer.Option(help="write a page that needs nothing else", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the answer as it comes")] = False,
    url: Url = "",
    key: Key = "",
    config: Config = None,
) -> None:
    """Show how each signal of each model stands, as of the last whole hour, and the last alarms with their causes."""
    from gateway.cli.drift_page import page
    from gateway.cli.table import table

    told = reached(url, key, config).ask("GET", PATH)
    if html is not None:
        try:
            html.write_text(page(told), "utf-8")
        except OSError as error:
            end(f"{html}: {error.strerror or error}", 1)
        return
    if as_json:
        print(json.dumps(told, indent=1))
        return
    if not told["data"]:
        print("no model was judged yet")
        return
    print(f"as of {told['through'] or 'no hour yet: the first is judged five minutes after its end'}")
    print(table([_row(entry, one) for entry in told["data"] for one in entry["signals"]], COLUMNS))
    for entry in told["data"]:
        for alarm in entry["alarms"]:
            print(f"{alarm['time']}  {entry['model']} {entry['arm'] or '-'} {entry['route']}  {alarm['sentence']}")


def _row(entry: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    row = {name: entry[name] for name in ("model", "arm", "route")} | one
    if one["evidence"] is not None:  # a rate: it has no PSI
        row |= {"current": one["value"], "value": None}
    return row


def freeze(
    model: Annotated[str, typer.Argument(help="the public name of the model", show_default=False)],
    url: Url = "",
    key: Key = "",
    config: Config = None,
) -> None:
    """Take what a model is now as what it should be: from this hour on it is compared with the week before it."""
    reached(url, key, config).ask("POST", f"{PATH}/freeze?{urllib.parse.urlencode({'model': model})}", b"")
    print(f"{model} is compared with the week before now, from now on, if that has 120 hours of 100 requests")
