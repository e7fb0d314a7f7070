"""`penstock feedback export`: what applications told of answers, as training examples."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Annotated, Literal

import typer

from gateway.cli.ending import end
from gateway.cli.serve import quickstart
from gateway.cli.store import ConfigOption, SinceOption, StoreOption, UntilOption, reading, time_ms, write_rows


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="What applications told of answers.", no_args_is_help=True)
    group.command("export")(export)
    app.add_typer(group, name="feedback")


def export(
    form: Annotated[Literal["sft", "dpo"], typer.Option("--format", help="sft (demonstrations) or dpo (pairs)")],
    out: Annotated[
        pathlib.Path | None, typer.Argument(help="the file to write; none: standard output", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="answers of this model alone", show_default=False)] = None,
    tenant: Annotated[str | None, typer.Option(help="answers to this tenant alone", show_default=False)] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="dpo: pair answers to one prompt by this metric, too", show_default=False),
    ] = None,
    better: Annotated[
        Literal["higher", "lower"] | None,
        typer.Option(help="which value of it is better; left out, as the configuration says", show_default=False),
    ] = None,
    lineage: Annotated[bool, typer.Option(help="say in each row what it was made of")] = True,
    since: SinceOption = "30d",
    until: UntilOption = "",
    config: ConfigOption = None,
    store: StoreOption = None,
) -> None:
    """Write demonstrations or preference pairs as JSON Lines, oldest first."""
    from gateway.store.feedback.export import FeedbackExport, WantedFeedback
    from gateway.store.reports.requests import FAR_MS

    if metric is not None and form != "dpo":
        end("--metric pairs answers, which is of --format dpo", 2)
    wanted = WantedFeedback(
        time_ms(since),
        time_ms(until) if until else FAR_MS,
        model,
        tenant,
        metric,
        metric is None or (better or _declared(metric, config)) == "higher",
    )
    try:
        with reading(config, store) as connection:
            made = FeedbackExport(connection, wanted)
            rows = made.rows(form, lineage=lineage)
            count = write_rows(rows, out)
    except BrokenPipeError:
        raise  # who reads has enough, which is no failure
    except OSError as error:
        end(f"{out or 'standard output'}: {error.strerror or error}", 1)
    print(f"{count} example{'' if count == 1 else 's'}", file=sys.stderr)
    for why, times in made.left_out.most_common():
        print(f"{times} left out: {why}", file=sys.stderr)


def _declared(metric: str, config: pathlib.Path | None) -> str:
    """Which value of a metric is better, as the configuration says. Ends the command where it does not."""
    from gateway.settings import ConfigError, format_problems, load_settings

    config = config or quickstart()
    try:
        metrics = load_settings(config, os.environ).settings.feedback.metrics
    except ConfigError as error:
        end(format_problems(error), 2)
    if metric not in metrics:
        end(f"{config} declares no metric {metric!r} (feedback.metrics): say --better higher or lower", 2)
    return metrics[metric].better
