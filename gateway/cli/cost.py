"""`penstock cost report` and `reconcile`: what it all cost, and whether the provider says so too."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Annotated, Any

import msgspec
import typer

from gateway.cli.ending import end
from gateway.cli.serve import quickstart
from gateway.cli.store import ConfigOption, JsonOption, SinceOption, StoreOption, UntilOption, reading, time_ms

WHY_UNPRICED = (
    "unpriced: what the table of prices does not list, and what told no usage. Of kind openai, a base_url that is no"
    " provider's own\nhas prices only where the engine's `provider` or `prices` says so."
)
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

GPU = {"engine": "engine", "busy_usd": "busy USD", "idle_usd": "idle USD", "idle_ratio": "idle ratio"}


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="What requests cost.", no_args_is_help=True)
    group.command("report")(report)
    group.command("reconcile")(reconcile)
    app.add_typer(group, name="cost")


def report(
    by: Annotated[
        str, typer.Option(help="with commas between: model, engine, upstream_model, arm, tenant, key, day, hour")
    ] = "model",
    since: SinceOption = "30d",
    until: UntilOption = "",
    of_records: Annotated[
        bool, typer.Option("--records", help="from single records, to the millisecond, as far as they are kept")
    ] = False,
    time_zone: Annotated[
        str, typer.Option(help="whose days and times are meant: Europe/Berlin; with --records also one of half hours")
    ] = "UTC",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    store: StoreOption = None,
) -> None:
    """Sum up requests, tokens and US dollars; of own engines with a price by the hour, what their idle time cost too.

    `unpriced` requests were answered, and a part of their cost at least is unknown, which is not zero: the known part
    is in the sum. Copies that a shadow got are nobody's requests, and summed up apart.
    """
    from gateway.cli.table import table
    from gateway.store.reports import sums as reports
    from gateway.store.reports.gpu_hours import gpu_report
    from gateway.store.reports.requests import FAR_MS

    names = tuple(name.strip() for name in by.split(",") if name.strip())
    since_ms, until_ms = time_ms(since, time_zone), time_ms(until, time_zone) if until else FAR_MS
    wanted = reports.WantedSums(names, since_ms, until_ms, time_zone=time_zone)
    with reading(config, store) as connection:
        sums = reports.report_of_records if of_records else reports.report
        rows = sums(connection, wanted)
        shadows = sums(connection, msgspec.structs.replace(wanted, copies=True))
        gpu = gpu_report(connection, wanted.since_ms, wanted.until_ms)
    if as_json:
        print(json.dumps({"data": rows, "shadows": shadows, "gpu": gpu}, indent=1))
        return
    print(table(rows, {**{name: name for name in names}, **MEASURES}))
    if any(row["unpriced"] for row in rows):
        print("\n" + WHY_UNPRICED)
    if shadows:
        print("\ncopies that shadows got, which are in no sum above:\n")
        print(table(shadows, {**{name: name for name in names}, **MEASURES}))
    if gpu:
        print("\nown engines by the hour; busy is in the cost above, idle nobody pays:\n\n" + table(gpu, GPU))


def reconcile(
    file: Annotated[pathlib.Path, typer.Argument(help="the provider's export of usage, CSV")],
    provider: Annotated[
        str, typer.Option(help="whose export it is: the engines of this provider are compared", show_default=False)
    ] = "",
    engine: Annotated[
        list[str] | None, typer.Option(help="an engine to compare, in place of --provider", show_default=False)
    ] = None,
    api_key: Annotated[
        str, typer.Option(help="only the rows of this key, as the export names it", show_default=False)
    ] = "",
    operation: Annotated[
        list[str] | None,
        typer.Option(help="a path whose requests the export is of, in place of those of its kind", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    store: StoreOption = None,
) -> None:
    """Compare records with a provider's own export: answer by answer where it has ids, else by time and model.

    `missing` is what we have and the provider does not, `extra` what only the provider has, `unpriced` where the
    provider tells a cost and a part of ours at least is unknown. The exit status is 1 when anything but matches was
    found.
    """
    from engines.model import Operation
    from gateway.store.reports.reconcile import MARGIN_MS, compare
    from gateway.store.reports.requests import FAR_MS, Wanted, found
    from gateway.store.reports.usage_exports import BadExport, read_export

    paths = [known.value for known in Operation]
    for path in operation or ():
        if path not in paths:
            end(f"there is no operation {path!r}; there is {', '.join(paths)}", 2)

    engines = frozenset(engine or _engines_of(provider, config))
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            export = read_export(opened, api_key)
    except (OSError, UnicodeDecodeError) as error:
        end(f"{file}: {error}", 2)
    except BadExport as error:
        end(f"{file}: {error}", 2)
    with reading(config, store) as connection:
        since_ms, until_ms = max(0, export.since_ms - MARGIN_MS), min(FAR_MS, export.until_ms)
        wanted = Wanted(since_ms=since_ms, until_ms=until_ms, limit=None)
        outcome = compare(export, found(connection, wanted), engines, frozenset(operation) if operation else None)
    rows: list[dict[str, Any]] = []
    for kind, amounts in (("missing", outcome.missing), ("extra", outcome.extra), ("unpriced", outcome.unpriced)):
        for key, amount in amounts.items():
            what = {"input_tokens": amount.input_tokens, "output_tokens": amount.output_tokens}
            rows.append({"kind": kind, "what": " ".join(key), **what})
    for key, differences in outcome.differing.items():
        said = ", ".join(f"{name} {ours} here, {theirs} there" for name, (ours, theirs) in differences.items())
        rows.append({"kind": "differing", "what": " ".join(key), "difference": said})
    counts = {
        "matched": outcome.matched,
        "missing": len(outcome.missing),
        "extra": len(outcome.extra),
        "differing": len(outcome.differing),
        "unpriced": len(outcome.unpriced),
    }
    if as_json:
        print(json.dumps({**counts, "rows": rows}, indent=1))
    else:
        _show(counts, rows)
    if not outcome.clean:
        raise typer.Exit(1)


def _show(counts: dict[str, int], rows: list[dict[str, Any]]) -> None:
    from gateway.cli.table import table

    print(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    if rows:
        columns = {"kind": "", "what": "what", "input_tokens": "input", "output_tokens": "output"}
        print("\n" + table(rows, {**columns, "difference": "difference"}))


def _engines_of(provider: str, config: pathlib.Path | None) -> list[str]:
    """The engines of the configuration that this provider serves."""
    from gateway.fleet.specs import provider_of
    from gateway.settings import ConfigError, format_problems, load_settings

    if not provider:
        end("whose export is it? name --provider, or the --engine", 2)
    try:
        settings = load_settings(config or quickstart(), os.environ).settings
    except ConfigError as error:
        end(format_problems(error), 2)
    names = [name for name, section in settings.engines.items() if provider_of(section) == provider]
    if not names:
        known = sorted({provider_of(section) for section in settings.engines.values()})
        end(f"no engine of the configuration is {provider}'s; there is {', '.join(known)}", 2)
    return names
