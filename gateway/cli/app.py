"""The one command, put together from its groups."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import (
    autoscale,
    config,
    cost,
    drift,
    fake_provider,
    feedback,
    new_key,
    records,
    rollout,
    routing,
    serve,
    shadow,
    simulate,
    simulate_admission,
    simulate_routing,
)

app = typer.Typer(
    name="penstock",
    help="One OpenAI-compatible endpoint in front of vLLM replicas and hosted LLM providers.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (
    serve,
    config,
    records,
    feedback,
    cost,
    drift,
    routing,
    autoscale,
    rollout,
    shadow,
    simulate,
    simulate_admission,
    simulate_routing,
    fake_provider,
    new_key,
):
    group.register(app)


def _version(asked: bool) -> None:
    if asked:
        from gateway.version import sentence

        print(sentence())
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print which version and build runs")
    ] = False,
) -> None:
    """One OpenAI-compatible endpoint in front of vLLM replicas and hosted LLM providers."""


def main() -> None:
    """The entry point."""
    app()
