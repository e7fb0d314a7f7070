"""`penstock check-config` and `print-config`: what a configuration means, without running it."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.ending import end

if TYPE_CHECKING:
    from gateway.settings.load import Loaded

ConfigFile = Annotated[pathlib.Path, typer.Argument(help="the configuration file", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("check-config")(check_config)
    app.command("print-config")(print_config)


def check_config(file: ConfigFile) -> None:
    """Report every error of a configuration at once, each with its key and what would be right."""
    from gateway.cli.pem_files import unusable
    from gateway.settings import ConfigError, format_problems

    loaded = _load(file)
    if problems := tuple(unusable(loaded.settings)):
        end(format_problems(ConfigError(problems, str(file))), 1)
    for notice in loaded.notices:
        print(f"note: {notice}")
    counts = [(len(loaded.settings.engines), "engine"), (len(loaded.settings.models), "model")]
    print(f"{file}: ok, " + ", ".join([f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts]))


def print_config(file: ConfigFile) -> None:
    """Print the configuration in full, defaults filled in and secrets masked."""
    from gateway.settings import masked_yaml

    print(masked_yaml(_load(file).settings), end="")


def _load(file: pathlib.Path) -> Loaded:
    from gateway.settings import ConfigError, format_problems, load_settings

    try:
        return load_settings(file, os.environ)
    except ConfigError as error:
        end(format_problems(error), 1)
