"""A mistake in what the loop calls by itself is logged, and ends its request: nobody waits for ever."""

from __future__ import annotations

import pytest
import structlog

from gateway.errors import Failure
from gateway.guarded import guarded
from routing.route import RetrySettings
from tests.gateway.flights import Bench, StepClock

pytestmark = pytest.mark.usefixtures("now")


class Waiting:
    settled = False

    def __init__(self) -> None:
        self.failures: list[Failure] = []

    def fail(self, failure: Failure) -> None:
        self.failures.append(failure)


def odd() -> None:
    raise KeyError("odd")


def test_a_mistake_is_logged_and_told_once() -> None:
    request = Waiting()
    with structlog.testing.capture_logs() as lines:
        guarded(request, odd)
    assert [failure.kind for failure in request.failures] == ["internal"]
    assert [line["event"] for line in lines] == ["request_mistaken"]
    request.settled = True
    guarded(request, odd)
    assert len(request.failures) == 1


def test_a_mistake_when_it_is_sent_again_ends_the_request() -> None:
    bench = Bench(StepClock(), 1, retry=RetrySettings(base_backoff_s=1.0, after_send=True))
    _, client = bench.begin(stream=False)
    bench.engines[0].mistakes.append(KeyError("odd"))
    bench.calls[0].answer(500, b"")
    bench.loop.fire()
    assert (client.status, client.error["code"]) == (500, "internal_error")
    assert (len(bench.ledger.settled), bench.outstanding()) == (1, {})
