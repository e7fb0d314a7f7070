"""The `penstock` command as a person types it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import version
from gateway.cli.app import app

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.output


def test_version_says_which_build_and_which_python_run() -> None:
    assert run("--version") == (0, f"penstock {version.VERSION} ({version.build()}, Python {version.PYTHON})\n")


def test_a_module_is_python_when_it_comes_from_a_source_and_else_compiled() -> None:
    assert version.build("gateway.version") == "python"
    assert version.build("msgspec._core") == "compiled"


@pytest.mark.parametrize("command", ["serve", "check-config", "print-config", "simulate-routing"])
def test_h_is_short_for_help(command: str) -> None:
    for words in (("-h",), ("--help",)):
        code, said = run(*words)
        assert (code, command in said) == (0, True)
        code, said = run(command, *words)
        assert (code, "Usage:" in said) == (0, True)


def test_help_of_simulate_is_the_simulators_own() -> None:
    code, said = run("simulate", "--help")
    assert (code, "--ttft-ms" in said) == (0, True)


def test_python_m_gateway_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"penstock \S+ \((python|compiled), Python \S+\)\n", done.stdout)


def test_a_good_file_is_ok_and_a_bad_one_says_its_key(tmp_path: Path) -> None:
    code, said = run("check-config", str(ROOT / "configs" / "quickstart.yaml"))
    assert (code, said.splitlines()[-1].split(": ", 1)[1][:3]) == (0, "ok,")
    bad = tmp_path / "bad.yaml"
    bad.write_text("server: {prot: 1}\n")
    code, said = run("check-config", str(bad))
    assert (code, "server.prot" in said) == (1, True)


def test_a_printed_configuration_is_in_full() -> None:
    code, said = run("print-config", str(ROOT / "configs" / "quickstart.yaml"))
    assert (code, "server:" in said) == (0, True)


def test_serving_one_configuration_by_two_names_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "x.yaml"), "--vllm", "some/model"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("give --config or --vllm")) == (2, True)
