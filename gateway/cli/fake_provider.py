"""`penstock fake-provider`: a server that stands in for a hosted provider."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command("fake-provider", context_settings=settings)(fake_provider)


def fake_provider(context: typer.Context) -> None:
    """Run a stand-in for a hosted provider, for example anthropic --port 9000; --help lists all of them."""
    from engines.fakes.__main__ import main as fakes

    raise typer.Exit(fakes(context.args) or 0)
