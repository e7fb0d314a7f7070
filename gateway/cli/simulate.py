"""`penstock simulate`: a vLLM look-alike server."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(context_settings=settings)(simulate)


def simulate(context: typer.Context) -> None:
    """Run a vLLM look-alike server, for example with --port 8000 --ttft-ms 40; --help lists all options."""
    from engines.simulator.__main__ import main as simulator

    raise typer.Exit(simulator(context.args, prog="penstock simulate") or 0)
