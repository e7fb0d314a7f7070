"""`penstock autoscale`: what a running gateway has decided, and what it would have done with some traffic."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from gateway.cli.admin_api import Config, Key, Url, reached
from gateway.cli.ending import end

PATH = "/admin/v1/autoscale"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(name="autoscale", help="Replicas that follow the traffic.", no_args_is_help=True)
    group.callback()(_group)
    group.command("status")(status)
    group.command("simulate")(simulate)
    group.command("compare")(compare)
    app.add_typer(group)


def _group() -> None:
    """Replicas that follow the traffic."""


def status(
    decisions: Annotated[
        int | None,
        typer.Option(min=0, max=1000, help="how many of the last decisions to show; 10, or all with --since"),
    ] = None,
    since: Annotated[str, typer.Option(help="2026-01-31, or 12h ago: decisions since then, of the store")] = "",
    engine: Annotated[str, typer.Option(help="decisions about this engine alone, of the store")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the answer as it comes")] = False,
    url: Url = "",
    key: Key = "",
    config: Config = None,
) -> None:
    """Show how many replicas each engine has and should have, and why."""
    asked = {name: text for name, text in (("since", since), ("engine", engine)) if text}
    told = reached(url, key, config).ask("GET", f"{PATH}?{urlencode(asked)}" if asked else PATH)
    most = decisions if decisions is not None else 1000 if since else 10
    if as_json:
        print(json.dumps(told, indent=2))
        return
    for one in told["data"]:
        print(_line(one))
    if told.get("store_away") and asked:
        print(f"decisions are of memory alone: {told['store_away']}")
    for one in told["decisions"][:most]:
        print(f"{one['at']}  {one['engine']}  {one['had']} -> {one['wanted']}  {one['sentence']}")
    if not told["data"]:
        print("no engine has `autoscale`")


def _line(one: dict[str, Any]) -> str:
    parts = [f"{one['ready']} ready"]
    parts += [f"{one[name]} {name}" for name in ("starting", "draining", "asleep", "failing") if one.get(name)]
    wanted = "nothing decided" if one["wanted"] is None else f"{one['wanted']} wanted"
    line = f"{one['engine']}: {', '.join(parts)}, {wanted} ({one['min']} to {one['max']}): {one['sentence']}"
    notes = [one[key] for key in ("failure", "problem") if one.get(key)]
    return "\n  ".join([line, *notes])


def simulate(
    trace: Annotated[pathlib.Path, typer.Argument(help="the file of requests, a line of JSON for each")],
    startup: Annotated[float, typer.Option(min=0, help="seconds a replica takes to serve")] = 120.0,
    least: Annotated[int, typer.Option("--min", min=0, help="the fewest replicas")] = 0,
    most: Annotated[int, typer.Option("--max", min=1, help="the most replicas")] = 16,
    ttft: Annotated[float, typer.Option(min=1, help="the SLO: milliseconds to the first token")] = 2000.0,
    prefill: Annotated[float, typer.Option(min=1, help="prompt tokens per second of one replica")] = 4000.0,
    usd_per_hour: Annotated[float, typer.Option(min=0, help="what a replica costs per hour")] = 0.0,
) -> None:
    """Print what the autoscaler would have done with this traffic, why, and what it would have cost.

    A line of the trace is a request, and they stand in the order of time:
    {"arrival_ms": 12.5, "input_tokens": 3128, "output_tokens": 64}

    `penstock-load trace convert` makes one of an Azure LLM, BurstGPT or Mooncake trace, or of a load test's records.
    """
    from gateway.virtual.scaling.replay import replay
    from gateway.virtual.trace import TraceError, read_trace

    try:
        arrivals = read_trace(trace)
    except TraceError as error:
        end(str(error), 1)
    except OSError as error:
        end(f"{trace}: {error.strerror or error}", 1)
    try:
        print(replay(arrivals, startup, least, most, ttft, prefill, usd_per_hour), end="")
    except ValueError as error:
        end(f"{trace}: {error}", 1)


def compare(
    traces: Annotated[str, typer.Option(help="comma-separated; none: all", show_default=False)] = "",
    startups: Annotated[str, typer.Option(help="seconds a replica takes to serve, comma-separated")] = "30,120,300",
    seeds: Annotated[int, typer.Option(min=1, help="how many times, each with other arrivals")] = 1,
    first_seed: Annotated[int, typer.Option(min=0, help="the first of the seeds")] = 1,
    aims: Annotated[
        str, typer.Option(help="our own frontier: this rule with other attainments as its aim, comma-separated")
    ] = "0.9,0.99",
    jobs: Annotated[int, typer.Option(min=0, help="processes; 0: as many as there are cores")] = 0,
) -> None:
    """Compare with the rules of the field in virtual time, 7 minutes of CPU per seed. Status 1: a bar is missed."""
    from gateway import clock
    from gateway.virtual.scaling import compare as comparing
    from gateway.virtual.scaling.failures import trials
    from gateway.virtual.scaling.table import reached, table
    from gateway.virtual.scaling.traffic import TRACES
    from gateway.virtual.scaling.verdict import cases

    names = [name for name in traces.split(",") if name] or list(TRACES)
    for name in names:
        if name not in TRACES:
            end(f"{name!r} is no trace; there are {', '.join(TRACES)}", 2)
    try:
        startups_s = [float(one) for one in startups.split(",")]
    except ValueError:
        end(f"{startups!r} are no seconds, such as 30,120,300", 2)
    try:
        also = [float(one) for one in aims.split(",") if one]
    except ValueError:
        also = [2.0]
    if any(not 0.5 <= one < 1.0 for one in also):
        end(f"{aims!r} are no aims, such as 0.9,0.99", 2)
    say = lambda line: print(line, file=sys.stderr)  # noqa: E731 - a line of progress
    began_s = clock.monotonic()
    chosen = range(first_seed, first_seed + seeds)
    all_cases = cases(comparing.compare(names, startups_s, chosen, say, jobs or len(os.sched_getaffinity(0)), also))
    failures = list(trials())
    print(table(all_cases, failures, seeds), end="")
    print(f"it took {(clock.monotonic() - began_s) / 60:.1f} min")
    if not reached(all_cases, failures):
        raise typer.Exit(1)
