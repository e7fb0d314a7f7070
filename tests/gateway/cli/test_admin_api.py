"""Commands that ask a running gateway: where each looks for it, and what each says where there is none."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer
from typer.testing import CliRunner

from gateway.cli.admin_api import DEFAULT_URL, reached
from gateway.cli.app import app
from tests.scenario.gateway import running_gateway

ENGINES = "engines: {s: {kind: simulator}}\nmodels: {chat: {targets: [{engine: s}]}}\n"
ASKING = {"autoscale status", "drift freeze", "drift report", "experiment report", "routing explain"} | {
    f"rollout {one}" for one in ("list", "status", "start", "pause", "resume", "promote", "abort")
}


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if hasattr(group, "commands"):
        for name, one in group.commands.items():
            yield from commands(one, (*words, name))
    else:
        yield " ".join(words), group


def options(command: Any) -> set[str]:
    return {option for param in command.params for option in param.opts}


def test_each_command_that_asks_a_gateway_takes_the_same_three_options() -> None:
    asking = {name: options(one) for name, one in commands(typer.main.get_command(app)) if "--url" in options(one)}
    assert set(asking) == ASKING
    assert {name for name, has in asking.items() if {"--url", "--key", "--config", "-c"} <= has} == ASKING


@pytest.mark.parametrize("command", sorted(ASKING))
def test_each_says_the_same_where_no_gateway_answers(command: str, tmp_path: Path) -> None:
    with socket.socket() as refused:
        refused.bind(("127.0.0.1", 0))  # and does not listen
        port = refused.getsockname()[1]
        file = tmp_path / "penstock.yaml"
        file.write_text(f"server: {{port: {port}}}\n{ENGINES}")
        model = [] if command in ("autoscale status", "drift report", "rollout list") else ["chat"]
        result = CliRunner().invoke(app, [*command.split(), *model, "--config", str(file)])
    assert (result.exit_code, result.output) == (
        1,
        f"http://127.0.0.1:{port} does not answer: Connection refused; --url or --config says where the gateway is\n",
    )


@pytest.mark.parametrize(
    ("sections", "url"),
    [
        ("server: {port: 8090}", "http://127.0.0.1:8090"),
        ("server: {host: 0.0.0.0}\nauth: {open: true}", "http://127.0.0.1:8080"),
        ("server: {host: '::1'}", "http://[::1]:8080"),
        ("server: {uds: /run/penstock.sock}", "unix:/run/penstock.sock"),
        ("server: {tls: {cert: PEM, key: PEM}}", "https://127.0.0.1:8080"),
        ("admin: {listen: '127.0.0.1:8081'}", "http://127.0.0.1:8081"),
        ("admin: {listen: '127.0.0.1:8081', tls: {cert: PEM, key: PEM}}", "https://127.0.0.1:8081"),
    ],
)
def test_a_configuration_says_where_the_admin_api_is(
    sections: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_URL", "http://elsewhere:1")
    file = tmp_path / "penstock.yaml"
    pem = tmp_path / "any.pem"
    pem.touch()
    file.write_text(f"{sections}\n{ENGINES}".replace("PEM", str(pem)))
    assert reached("", "", file).url == url
    assert reached("http://here:2", "", file).url == "http://here:2"


def test_without_either_the_environment_says_it_and_else_it_is_the_usual_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_URL", "http://elsewhere:1")
    assert reached("", "", None).url == "http://elsewhere:1"
    monkeypatch.delenv("PENSTOCK_URL")
    assert reached("", "", None).url == DEFAULT_URL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"server: {{port: 0}}\n{ENGINES}", "server.port takes a free port: say --url of the one"),
        (f"admin: {{listen: '127.0.0.1:0'}}\n{ENGINES}", "admin.listen takes a free port"),
        ("server: {prot: 1}\n", "server.prot"),
    ],
)
def test_a_configuration_that_does_not_say_it_ends_the_command(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(text)
    result = CliRunner().invoke(app, ["rollout", "list", "--config", str(file)])
    assert (result.exit_code, said in result.output) == (2, True), result.output


@pytest.mark.anyio
async def test_whoever_shows_no_key_is_told_how_a_command_shows_one() -> None:
    engines = {"e": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}
    with structlog.testing.capture_logs():
        async with running_gateway({"engines": engines, "models": {"chat": {"targets": [{"engine": "e"}]}}}) as gateway:
            words = ["rollout", "list", "--url", gateway.url]
            none, wrong = [
                await asyncio.to_thread(CliRunner().invoke, app, [*words, *more]) for more in ([], ["--key", "sk-no"])
            ]
    assert (none.exit_code, none.output.endswith("KEY`; --key or PENSTOCK_KEY gives one\n")) == (1, True), none.output
    assert (wrong.exit_code, "PENSTOCK_KEY" in wrong.output) == (1, False), wrong.output


class Idle(BaseHTTPRequestHandler):
    """A gateway that has judged nothing yet."""

    def do_GET(self) -> None:
        body = b'{"through": null, "data": []}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


def test_where_nothing_was_judged_that_is_said_and_no_empty_table_shown() -> None:
    with HTTPServer(("127.0.0.1", 0), Idle) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        result = CliRunner().invoke(app, ["drift", "report", "--url", f"http://127.0.0.1:{server.server_port}"])
        answering.join()
    assert (result.exit_code, result.output) == (0, "no model was judged yet\n")


TOLD = {
    "data": [
        {
            "engine": "llama",
            "min": 0,
            "max": 4,
            "wanted": 2,
            "ready": 1,
            "starting": 1,
            "draining": 0,
            "asleep": 0,
            "failing": 1,
            "failure": "pod llama-1 cannot be scheduled: no GPU is free",
            "problem": "",
            "sentence": "8000 prompt tokens/s arrive where a replica computes 4000/s, so 2 will do",
        }
    ],
    "decisions": [
        {"at": f"2026-01-0{day}T00:00:00Z", "engine": "llama", "had": 1, "wanted": 2, "sentence": f"day {day}"}
        for day in (3, 2, 1)
    ],
}


class Telling(BaseHTTPRequestHandler):
    """A gateway that says this of its replicas."""

    def do_GET(self) -> None:
        assert self.path == "/admin/v1/autoscale"
        body = json.dumps(TOLD).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


def test_the_status_of_autoscaling_is_a_line_for_each_engine_with_why_and_then_the_last_decisions() -> None:
    with HTTPServer(("127.0.0.1", 0), Telling) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        command = ["autoscale", "status", "--decisions", "2", "--url", f"http://127.0.0.1:{server.server_port}"]
        result = CliRunner().invoke(app, command)
        answering.join()
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "llama: 1 ready, 1 starting, 1 failing, 2 wanted (0 to 4): "
        "8000 prompt tokens/s arrive where a replica computes 4000/s, so 2 will do",
        "  pod llama-1 cannot be scheduled: no GPU is free",
        "2026-01-03T00:00:00Z  llama  1 -> 2  day 3",
        "2026-01-02T00:00:00Z  llama  1 -> 2  day 2",
    ]
