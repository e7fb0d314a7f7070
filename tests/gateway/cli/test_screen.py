"""The first screen: what serves which model, how it was found, and how to ask it."""

from __future__ import annotations

import pytest

from gateway.cli.screen import MOST_ROWS, greeting, screen
from gateway.control.findings import Finding
from gateway.serve import Opening
from gateway.settings import load_settings

FILE = """
engines:
  own: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}, {url: "http://127.0.0.1:13"}]}
  hosted: {kind: openai, api_key: sk-0123456789}
models:
  chat: {targets: [{engine: own}, {engine: hosted, model: x}]}
  large: {targets: [{engine: own}]}
"""
FOUND = [
    Finding("own", "127.0.0.1:9", "unreachable", "connection refused"),
    Finding("own", "127.0.0.1:13", "wrong model", "it has no 'chat'"),
    Finding("hosted", "api.openai.com:443", "not asked", "it has no free endpoint to ask"),
]


def opening(file: str = FILE, *, found: list[Finding] = FOUND, notices: tuple[str, ...] = ()) -> Opening:
    return Opening("http://127.0.0.1:8080", load_settings(file, {}).settings, found, notices)


def test_each_replica_stands_with_its_state_where_a_model_asks_for_it_first() -> None:
    shown = screen(opening(), "1.0", colours=False).splitlines()
    assert shown[3:8] == [
        "  MODEL  ENGINE  REPLICA           ",
        "  chat   own     127.0.0.1:9         unreachable: connection refused",
        "                 127.0.0.1:13        wrong model: it has no 'chat'",
        "         hosted  api.openai.com:443  not asked: it has no free endpoint to ask",
        "  large  own                         as above",
    ]


def test_what_is_left_out_says_why_and_links_follow_the_curl() -> None:
    shown = screen(opening(notices=("engine ai21 is left out because AI21_API_KEY is not set",)), "1.0", colours=False)
    assert "  left out  engine ai21 is left out because AI21_API_KEY is not set\n" in shown
    assert shown.index("curl http://127.0.0.1:8080/v1/chat/completions") < shown.index("http://127.0.0.1:8080/docs")


@pytest.mark.parametrize(
    ("section", "link"),
    [
        ("", "  metrics http://127.0.0.1:8080/metrics"),
        ("server: {metrics: key}\n", "  metrics http://127.0.0.1:8080/metrics (with a key)"),
        ('admin: {listen: "127.0.0.1:8081"}\n', "  metrics http://127.0.0.1:8081/metrics"),
        ('server: {metrics: "off"}\nadmin: {listen: "127.0.0.1:8081"}\n', "  metrics http://127.0.0.1:8081/metrics"),
    ],
)
def test_the_metrics_are_where_the_link_says(section: str, link: str) -> None:
    auth = f'auth: {{keys: [{{id: a, sha256: "{"a" * 64}", admin: true}}]}}\n'
    assert link in screen(opening(auth + section + FILE), "1.0", colours=False).splitlines()


def test_a_large_fleet_is_told_in_part() -> None:
    many = [Finding("own", f"10.0.0.1:{port}", "reachable") for port in range(500)]
    shown = screen(opening(found=many), "1.0", colours=False)
    assert f"  and {502 - MOST_ROWS} more: GET /admin/v1/replicas" in shown


def test_an_engines_words_cannot_drive_the_terminal() -> None:
    shown = screen(opening(found=[Finding("own", "r", "unreachable", "\x1b[31m" + "x" * 999)]), "1", colours=False)
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) < 250


def test_colours_are_only_where_they_are_wanted() -> None:
    assert "\x1b[31munreachable\x1b[0m" in screen(opening(), "1.0", colours=True)


@pytest.mark.parametrize("keys", [True, False])
def test_the_curl_shows_a_key_where_there_are_keys(keys: bool) -> None:
    auth = f'auth: {{keys: [{{id: a, sha256: "{"a" * 64}"}}]}}\n' if keys else ""
    assert ("$PENSTOCK_KEY" in greeting(opening(auth + FILE))) is keys


def test_without_replicas_an_engine_has_none_yet() -> None:
    assert "own              no replica yet" in screen(opening(found=[]), "1", colours=False)
