"""The first screen: what serves which model, how it was found, and how to ask it."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.cli.screen import MOST_ROWS, curl, screen
from gateway.cli.serve import _greet
from gateway.control.configuration.findings import Finding
from gateway.serve import Opened
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


def opening(file: str = FILE, *, found: list[Finding] = FOUND, notices: tuple[str, ...] = ()) -> Opened:
    return Opened("http://127.0.0.1:8080", load_settings(file, {}).settings, found, notices)


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
def test_the_curl_shows_a_key_where_there_are_keys_and_the_screen_says_how_it_is_set(keys: bool) -> None:
    auth = f'auth: {{keys: [{{id: a, sha256: "{"a" * 64}"}}]}}\n' if keys else ""
    there = opening(auth + FILE)
    assert ("$PENSTOCK_KEY" in curl(there)) is keys
    shown = screen(there, "1", colours=False)
    assert ("\nexport PENSTOCK_KEY=YOUR_KEY\ncurl " in shown) is keys


WILD = """
engines:
  any: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}]}
  own: {kind: vllm, replicas: [{url: "http://127.0.0.1:13"}]}
models:
  "zoo/*": {targets: [{engine: any}]}
"""
NAMED = "  first: {targets: [{engine: any}]}\n  chat: {targets: [{engine: own}]}\n"


@pytest.mark.parametrize(
    ("models", "good", "asked"),
    [
        (NAMED, "own", "chat"),
        (NAMED, "any", "first"),
        (NAMED, "neither", "first"),
        ("", "any", "zoo/NAME"),
    ],
)
def test_the_curl_asks_for_a_model_that_can_answer_and_never_for_a_wildcard(models: str, good: str, asked: str) -> None:
    found = [Finding(name, "r", "reachable" if name == good else "unreachable") for name in ("any", "own")]
    assert f'"model": "{asked}"' in curl(opening(WILD + models, found=found))


def test_an_engine_that_starts_is_no_ready_one_and_that_is_said() -> None:
    note = "Until it has started"
    assert note in screen(opening(found=[Finding("own", "r", "starting")]), "1", colours=False)
    assert note not in screen(opening(), "1", colours=False)


@pytest.mark.parametrize(
    ("listen", "shown"), [("0.0.0.0:8081", "http://127.0.0.1:8081"), ("'[::]:8081'", "http://[::1]:8081")]
)
def test_the_metrics_of_an_open_admin_port_are_linked_where_this_machine_reaches_them(listen: str, shown: str) -> None:
    file = f"admin: {{listen: {listen}}}\nauth: {{keys: [{{id: a, sha256: '{'a' * 64}', admin: true}}]}}\n{FILE}"
    assert f"  metrics {shown}/metrics" in screen(opening(file), "1", colours=False).splitlines()


def test_where_programs_read_the_log_it_holds_all_and_nothing_else_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = opening(f"telemetry: {{log_format: json}}\n{FILE}")
    with capture_logs() as events:
        _greet(there)
    assert ("", "") == tuple(capsys.readouterr())
    assert [("replica_unreachable", "127.0.0.1:9")] == [(each["event"], each["replica"]) for each in events[:-1]]
    ready = events[-1]
    assert ("ready", there.url, ["chat", "large"]) == (ready["event"], ready["url"], ready["models"])
    assert ready["curl"] == curl(there)


def test_where_people_read_the_log_they_get_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as events:
        _greet(opening(f"telemetry: {{log_format: console}}\n{FILE}"))
    printed = capsys.readouterr().err
    assert ([], True, False) == (events, "Try it:" in printed, "\x1b" in printed)


def test_without_replicas_an_engine_has_none_yet() -> None:
    assert "own              no replica yet" in screen(opening(found=[]), "1", colours=False)
