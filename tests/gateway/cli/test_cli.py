"""The `penstock` command as a person types it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner

from gateway import version
from gateway.cli.app import app
from gateway.http.listen import STARTED_BY

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


@pytest.mark.parametrize("command", ["simulate", "fake-provider openai"])
def test_a_stand_in_says_its_own_name_and_what_is_wrong_with_its_port(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *command.split(), "--port", "99999999"],
        capture_output=True,
        text=True,
        check=False,
    )
    name = command.split()[0]
    assert (2, f"penstock {name}: --port 99999999: a port is 0 to 65535\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "99999"), "penstock serve: --port 99999 should be less than or equal to 65535"),
        (("--workers", "0"), "penstock serve: --workers 0 should be greater than or equal to 1"),
        (("--host", "[::1]"), "penstock serve: --host [::1] should be written without brackets"),
        (("--host", "0.0.0.0"), "penstock serve: --host 0.0.0.0 opens the gateway to other machines"),
        (("--port", "99999", "--workers", "0"), "\npenstock serve: --workers 0 should be"),
    ],
)
def test_a_mistake_of_the_command_line_is_told_as_its_own_and_names_no_file(words: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", *words], capture_output=True, text=True, check=False
    )
    assert (2, True, False) == (done.returncode, said in done.stderr, "quickstart" in done.stderr), done.stderr


def test_a_file_that_opens_without_keys_is_blamed_itself(tmp_path: Path) -> None:
    file = tmp_path / "open.yaml"
    file.write_text("server: {host: 0.0.0.0}\nengines: {s: {kind: simulator}}\nmodels: {m: {targets: [{engine: s}]}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--config", str(file)], capture_output=True, text=True, check=False
    )
    assert (2, True) == (done.returncode, "auth.keys" in done.stderr and "open.yaml" in done.stderr)


@pytest.mark.parametrize(
    ("started_by", "other"),
    [
        ({}, "choose another with --port\n"),
        ({"MAKELEVEL": "1"}, "choose another with --port\n"),
        ({"MAKELEVEL": "1", "PENSTOCK_STARTED_BY": "make serve"}, "choose another with make serve PORT=8081\n"),
    ],
)
def test_a_port_that_is_taken_is_told_with_how_another_is_asked_for(
    tmp_path: Path, started_by: dict[str, str], other: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", STARTED_BY)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "serve", "--port", str(taken.getsockname()[1])],
            capture_output=True,
            text=True,
            check=False,
            env={**environment, **started_by},
            cwd=tmp_path,  # its data_dir is below the current directory
        )
    assert (1, True) == (done.returncode, done.stderr.endswith(other)), done.stderr


def test_our_makefile_says_that_it_started_the_gateway() -> None:
    assert f'{STARTED_BY}="make serve" ' in (ROOT / "Makefile").read_text()


def test_make_help_says_the_port_that_it_would_take() -> None:
    done = subprocess.run(["make", "help", "PORT=9000"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ("on http://127.0.0.1:9000\n" in done.stdout, "$(" in done.stdout) == (True, False), done.stdout


def test_a_trace_that_is_not_there_or_none_is_told_by_its_name(tmp_path: Path) -> None:
    missing, wrong = tmp_path / "missing.jsonl", tmp_path / "wrong.jsonl"
    wrong.write_text("garbage\n")
    assert run("autoscale", "simulate", str(missing)) == (1, f"{missing}: No such file or directory\n")
    code, said = run("autoscale", "simulate", str(wrong))
    assert (code, said.startswith(f"{wrong}:1: JSON is malformed")) == (1, True)


def test_the_command_replays_a_trace_and_says_what_it_would_have_done_and_cost(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    lines = [{"arrival_ms": 500.0 * at, "input_tokens": 2_000, "output_tokens": 16} for at in range(1_200)]
    trace.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    code, said = run("autoscale", "simulate", str(trace), "--startup", "30", "--usd-per-hour", "2")
    assert code == 0
    assert "prompt tokens/s arrive where a replica computes 4000/s" in said
    assert "USD" in said


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


def test_certificates_and_authorities_that_cannot_be_used_are_found(tmp_path: Path) -> None:
    authority = trustme.CA()
    pair = authority.issue_cert("localhost")
    pair.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    pair.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "junk.pem").write_text("junk")
    file = tmp_path / "penstock.yaml"

    def check(cert: str, key: str, ca: str) -> tuple[int, str]:
        pem = f"{{cert: {tmp_path}/{cert}.pem, key: {tmp_path}/{key}.pem}}"
        file.write_text(
            f"server: {{tls: {pem}}}\nadmin: {{listen: '127.0.0.1:0', tls: {pem}}}\n"
            f"engines: {{v: {{kind: vllm, replicas: [{{url: 'https://h'}}], ca_file: {tmp_path}/{ca}.pem}}}}\n"
            "models: {m: {targets: [{engine: v, model: m}]}}\n"
        )
        return run("check-config", str(file))

    code, said = check("cert", "key", "ca")
    assert (code, "ok, 1 engine" in said) == (0, True)
    code, said = check("cert", "other", "junk")
    assert (code, said.startswith(f"{file}: 3 problems\n")) == (1, True)
    assert "  server.tls\n    the certificate or key cannot be used: " in said
    assert "  admin.tls\n    the certificate or key cannot be used: " in said
    assert f"  engines.v\n    {tmp_path}/junk.pem cannot be used: no certificate or crl found" in said
    code, said = check("junk", "key", "ca")
    assert (code, "cert should be a PEM file with the certificate" in said) == (1, True)


def test_a_printed_configuration_is_in_full() -> None:
    code, said = run("print-config", str(ROOT / "configs" / "quickstart.yaml"))
    assert (code, "server:" in said) == (0, True)


def test_serving_one_configuration_by_two_names_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "x.yaml"), "--vllm", "some/model"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("give --config or --vllm")) == (2, True)
