"""`penstock new-key`: what it prints lets the key in."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from typer.testing import CliRunner

from gateway.accounts.keys import keyring_of, keys_of
from gateway.cli.app import app
from gateway.settings import load_settings

FILE = """
engines: {e: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}]}}
models: {chat: {targets: [{engine: e}]}}
auth:
  keys:
    LINE
"""


@pytest.mark.parametrize("words", [(), ("--tenant", "acme", "--model", "chat", "--admin")])
def test_the_key_that_is_printed_is_the_one_that_the_line_lets_in(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["new-key", "my-app", *words])
    key, line = [text.strip() for text in result.output.splitlines() if text.startswith("  ")]
    settings = load_settings(FILE.replace("LINE", line), {}).settings
    principal = keyring_of(keys_of(settings), any_host=False).find(b"Bearer " + key.encode(), None)
    assert principal is not None
    assert (principal.key_id, principal.admin, principal.may_use("chat")) == ("my-app", bool(words), True)
    assert principal.tenant == ("acme" if words else "default")


def test_a_key_for_prometheus_may_read_metrics_and_administers_nothing() -> None:
    result = CliRunner().invoke(app, ["new-key", "prometheus", "--metrics"])
    key, line = [text.strip() for text in result.output.splitlines() if text.startswith("  ")]
    settings = load_settings(FILE.replace("LINE", line), {}).settings
    principal = keyring_of(keys_of(settings), any_host=False).find(b"Bearer " + key.encode(), None)
    assert principal is not None
    assert (principal.metrics, principal.admin) == (True, False)
    assert f"\nexport PENSTOCK_KEY={key}\n" in result.output


def test_two_keys_of_one_name_differ_and_the_line_does_not_hold_them() -> None:
    outputs = [CliRunner().invoke(app, ["new-key", "a"]).output for _ in range(2)]
    assert outputs[0] != outputs[1]
    key, line = [text.strip() for text in outputs[0].splitlines() if text.startswith("  ")]
    assert key not in line
    (member,) = yaml.safe_load(line)
    assert set(member) == {"id", "sha256"}


def test_the_line_goes_into_the_example_of_the_readme() -> None:
    readme = (pathlib.Path(__file__).resolve().parents[3] / "README.md").read_text()
    example = readme[readme.index("# penstock.yaml\n") :].split("```")[0]
    result = CliRunner().invoke(app, ["new-key", "my-app"])
    line = [text.strip() for text in result.output.splitlines() if text.startswith("  ")][1]
    (written,) = [each for each in example.splitlines() if each.lstrip().startswith("- {id: my-app")]
    keys = yaml.safe_load(example.replace(written.lstrip(), line))["auth"]["keys"]
    assert [set(key) for key in keys] == [{"id", "sha256"}]
    assert len(keys[0]["sha256"]) == 64


@pytest.mark.parametrize("words", [("a b",), ("a", "--tenant", "\x1b[31m")])
def test_a_name_that_no_configuration_takes_is_refused(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["new-key", *words])
    assert (result.exit_code, "should be letters" in result.output) == (2, True)
