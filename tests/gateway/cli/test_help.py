"""What `-h` says is for who runs the command: each argument is told, and no source file has to be opened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from gateway.cli.app import app
from loadtests.cli.commands import app as load_app

OF_SOURCES = re.compile(r"\b[a-z_]+/[a-z_/]+\.py\b|\bpython -m\b|\b(?:gateway|engines|routing|loadtests)[./][a-z_]+")


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


ALL = [
    pytest.param(path, command, id=" ".join(path))
    for name, one in (("penstock", app), ("penstock-load", load_app))
    for path, command in commands(typer.main.get_command(one), (name,))
]


def test_the_commands_that_are_there_are_looked_at() -> None:
    names = {one.id for one in ALL}
    assert {"penstock serve", "penstock autoscale simulate", "penstock records query", "penstock-load run"} <= names


@pytest.mark.parametrize(("path", "command"), ALL)
def test_help_tells_each_argument_and_names_no_source(path: tuple[str, ...], command: Any) -> None:
    untold = [one.name for one in command.params if not getattr(one, "help", None)]
    assert not untold, f"{' '.join(path)} -h does not say what they are"
    said = "\n".join([command.help or "", *[getattr(one, "help", None) or "" for one in command.params]])
    assert command.help, f"{' '.join(path)} -h does not say what it does"
    assert not OF_SOURCES.findall(said), f"{' '.join(path)} -h sends its reader to a source file"


@pytest.mark.parametrize("name", ["simulate", "fake-provider"])
def test_help_of_what_parses_its_own_arguments_does_so_too(name: str) -> None:
    said = CliRunner().invoke(app, [name, "-h"]).output
    assert f"usage: penstock {name}" in said
    assert not OF_SOURCES.findall(said)
    _, _, arguments = said.partition("\n\n")
    untold = re.findall(r"^  (-\S+(?: \S+)?|\{\S+\})$\n(?!   )", arguments, re.MULTILINE)
    assert not untold, f"penstock {name} -h does not say what they are"


def test_help_of_a_simulation_says_what_a_line_of_its_trace_is() -> None:
    said = CliRunner().invoke(app, ["autoscale", "simulate", "-h"]).output
    assert '{"arrival_ms": 12.5, "input_tokens": 3128, "output_tokens": 64}' in said
    assert "penstock-load trace convert" in said.replace("\n", " ")
