from __future__ import annotations

import structlog

from gateway.fleet.breakers import breaker_changed


def test_a_breaker_that_opens_and_closes_is_told_with_its_reason() -> None:
    with structlog.testing.capture_logs() as told:
        breaker_changed(("a", "0"), False, "5 of 6 failed, the last by server_error", 5.04)
        breaker_changed(("a", "0"), True, "a probe was answered", 0.0)
    assert told == [
        {
            "event": "breaker_opened",
            "log_level": "warning",
            "engine": "a",
            "replica": "0",
            "why": "5 of 6 failed, the last by server_error",
            "open_s": 5.0,
        },
        {
            "event": "breaker_closed",
            "log_level": "info",
            "engine": "a",
            "replica": "0",
            "why": "a probe was answered",
        },
    ]
