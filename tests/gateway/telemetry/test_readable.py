"""The access line for people: what came of a request, and nothing that drives their terminal."""

from __future__ import annotations

import os
import pty

import pytest

from gateway.accounts.record import RequestRecord
from gateway.telemetry.readable import readable
from gateway.telemetry.terminal import is_terminal, painted, printable, takes_colours


def record(status: int = 200, model: str = "chat", **fields: object) -> RequestRecord:
    base = RequestRecord(
        time="2026-11-27T18:39:24.078Z",
        request_id="r",
        record_id="0" * 32,
        operation="/v1/chat/completions",
        model=model,
        status=status,
        duration_ms=123.4,
    )
    for name, value in fields.items():
        setattr(base, name, value)
    return base


def test_an_answer_says_who_gave_it_how_long_it_took_and_what_it_used() -> None:
    told = record(engine="sim", replica="sim-0", stream=True, ttft_ms=42.2, input_tokens=3, output_tokens=5)
    assert readable(colours=False)([told]) == (
        b"18:39:24 200 /v1/chat/completions chat -> sim/sim-0 123 ms (first byte 42 ms) 3 in, 5 out\n"
    )


def test_a_failure_says_which_and_each_record_is_a_line() -> None:
    lines = readable(colours=False)([record(404, "other", error="model_not_found"), record(cost_usd=0.25, attempts=3)])
    assert lines.splitlines() == [
        b"18:39:24 404 /v1/chat/completions - 123 ms model_not_found",
        b"18:39:24 200 /v1/chat/completions chat 123 ms $0.250000 3 attempts",
    ]


def test_a_stream_that_was_cut_after_its_200_is_no_success() -> None:
    (good, cut) = readable(colours=True)([record(), record(error="answer_truncated")]).splitlines()
    assert b"\x1b[32m200\x1b[0m" in good
    assert b"\x1b[31m200\x1b[0m" in cut
    assert b"\x1b[31manswer_truncated\x1b[0m" in cut


def test_a_model_that_is_not_configured_is_told_by_the_name_that_was_asked_for() -> None:
    assert b" 'gpt-9' 123 ms" in readable(colours=False)([record(404, "other", asked_model="gpt-9")])


def test_where_no_model_was_named_none_is_told() -> None:
    line = readable(colours=False)([record(401, "other", error="invalid_api_key")])
    assert line == b"18:39:24 401 /v1/chat/completions - 123 ms invalid_api_key\n"


def test_no_text_of_a_request_drives_the_terminal_or_fills_it() -> None:
    (line,) = readable(colours=False)([record(model="\x1b[2J\n" + "x" * 9999)]).splitlines()
    assert b"\x1b" not in line
    assert len(line) < 400


def test_half_of_a_surrogate_pair_is_told_all_the_same() -> None:
    assert b"\\ud800" in readable(colours=False)([record(model="\ud800")])


def test_colours_go_around_text_and_not_around_nothing() -> None:
    assert painted("a", "31", colours=True) == "\x1b[31ma\x1b[0m"
    assert painted("", "31", colours=True) == painted("", "31", colours=False) == ""


def test_what_is_cut_says_so() -> None:
    assert printable("abcdef", 5) == "ab..."


@pytest.mark.parametrize(
    ("environment", "colours"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_a_terminal_has_colours_unless_it_or_its_user_takes_none(
    environment: dict[str, str], colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    reads, writes = os.pipe()
    try:
        assert (colours, False) == (takes_colours(theirs), takes_colours(writes))
    finally:
        for descriptor in (ours, theirs, reads, writes):
            os.close(descriptor)


def test_a_closed_descriptor_is_no_terminal() -> None:
    assert is_terminal(987_654) is False
