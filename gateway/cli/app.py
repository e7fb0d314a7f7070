"""The one command, put together from its groups."""

from __future__ import annotations

import errno
import os
import sys
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
    """The entry point. What nobody reads any more (`| head`) ends it without a word, a full disk with a sentence."""
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # else the interpreter does, and shows a traceback
    except BrokenPipeError:
        _let_go()
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        _let_go()
        print(f"standard output: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _let_go() -> None:
    """What is left of the output goes nowhere: the interpreter would try it again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
