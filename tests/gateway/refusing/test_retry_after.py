"""When an engine says to come back: in its headers, or, as Google does, in its body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.refusing.retry_after import MOST_S, delay_told_in, retry_after_s


@pytest.mark.parametrize(
    ("headers", "told_s"),
    [
        ([(b"retry-after", b"7")], 7.0),
        ([(b"retry-after", b"7"), (b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after", b"7"), (b"x-ms-retry-after-ms", b"250")], 0.25),
        ([(b"retry-after", b"7"), (b"retry-after-ms", b"soon")], 7.0),
        ([(b"retry-after", b"soon")], None),
        ([], None),
    ],
)
def test_what_headers_say(headers: list[tuple[bytes, bytes]], told_s: float | None) -> None:
    assert told_s == retry_after_s(headers)


def error(*details: Any) -> Any:
    return {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": list(details)}}


INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33.5s"}


@pytest.mark.parametrize(
    ("body", "told_s"),
    [
        (error(INFO), 33.5),
        (error({"@type": "type.googleapis.com/google.rpc.QuotaFailure"}, INFO), 33.5),
        ([error(INFO)], 33.5),
        (error(INFO | {"retryDelay": "0s"}), 0.0),
        (error(INFO | {"retryDelay": "9e9s"}), MOST_S),
        (error(INFO | {"retryDelay": "soons"}), None),
        (error(INFO | {"retryDelay": 33}), None),
        (error("retryDelay"), None),
        ({"error": "retryDelay", '"retryDelay"': 1}, None),
        ({"error": {"details": {"retryDelay": "3s"}}}, None),
        (["retryDelay"], None),
        (error(), None),
    ],
)
def test_what_googles_bodies_say(body: Any, told_s: float | None) -> None:
    assert told_s == delay_told_in(json.dumps(body).encode())


def test_what_is_no_json_says_nothing() -> None:
    assert delay_told_in(b'{"retryDelay": "3s"') is None
    assert delay_told_in(b'"retryDelay"' + b"[" * 10_000) is None
