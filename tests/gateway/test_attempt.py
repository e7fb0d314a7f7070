"""One engine call as its owner sees it: told once of its beginning or of its early end, and everything given back."""

from __future__ import annotations

import random

import pytest
import structlog

from engines.errors import ConnectionLost, OutOfSockets
from engines.model import Operation
from engines.port import Headers, Outgoing, Sink
from gateway import clock
from gateway.attempt import Attempt
from gateway.refusing import shortage
from routing.facts import RequestFacts
from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome
from tests.gateway.flights import JSON, SSE, Bench, FakeConnection, StepClock
from tests.gateway.relayed import DONE, FINISH, chunk

pytestmark = pytest.mark.usefixtures("now")


class Reader:
    """An owner without a client: it reads the answer and throws it away, as a copy of traffic would."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def answering(self, attempt: Attempt) -> Sink:
        self.told.append(f"answering {attempt.status}")
        self.attempt = attempt
        return self

    def blame(self, attempt: Attempt, outcome: Outcome, now: float) -> Verdict:
        return outcome.verdict

    def failed_early(self, attempt: Attempt) -> None:
        assert attempt.outcome is not None
        self.told.append(attempt.outcome.value)

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError

    def data(self, data: bytes) -> None:
        self.told.append(f"{len(data)} bytes")

    def flush(self) -> None: ...

    def done(self) -> None:
        self.told.append("done")
        self.attempt.close(clock.monotonic())

    def failed(self, error: Exception) -> None:
        self.told.append(f"broke: {error}")
        self.attempt.close(clock.monotonic())


def alone(bench: Bench) -> tuple[Attempt, Reader]:
    """An attempt that no flight owns."""
    owner = Reader()
    (endpoint,) = bench.route.endpoints()
    facts = RequestFacts(Operation.CHAT.value, 10, 20)
    now = clock.monotonic()
    attempt = Attempt(owner, bench.serving.upstreams[endpoint], facts, True, now, random.Random(1))
    attempt.send(Outgoing(Operation.CHAT.value, b"", b"{}"), None, now, 0.0)
    return attempt, owner


def test_an_attempt_needs_no_client() -> None:
    bench = Bench(StepClock())
    attempt, owner = alone(bench)
    assert bench.outstanding()["t0 series"] == 1
    (call,) = bench.calls
    call.head(200, SSE)
    call.read(chunk())
    call.done(FINISH)
    assert owner.told == ["answering 200", f"{len(chunk())} bytes", f"{len(FINISH)} bytes", "done"]
    assert (attempt.over, bench.outstanding()) == (True, {})


def test_an_attempt_that_fails_early_tells_its_owner_once_and_gives_back_first() -> None:
    bench = Bench(StepClock())
    attempt, owner = alone(bench)
    bench.calls[0].failed(ConnectionLost("closed"))
    assert (owner.told, attempt.outcome, bench.outstanding()) == (["connection_lost"], Outcome.CONNECTION_LOST, {})


def test_a_gateway_without_sockets_blames_no_replica_and_says_so() -> None:
    shortage.over()  # one that an earlier test of this process had
    bench = Bench(StepClock())
    attempt, owner = alone(bench)
    with structlog.testing.capture_logs() as lines:
        bench.calls[0].failed(OutOfSockets("the gateway can open no more connections: too many open files"))
    (state,) = bench.table
    assert (owner.told, attempt.error_kind, sum(state.breaker._bad)) == (["overloaded"], "out_of_sockets", 0)
    assert [line["event"] for line in lines] == ["out_of_sockets"]
    assert bench.outstanding() == {}


def test_an_abandoned_attempt_tells_nobody_and_blames_nobody() -> None:
    bench = Bench(StepClock())
    attempt, owner = alone(bench)
    attempt.abandon()
    attempt.abandon()
    (state,) = bench.table
    assert (owner.told, bench.calls[0].aborted, bench.outstanding(), sum(state.breaker._bad)) == ([], True, {}, 0)


# -- two attempts in one flight --------------------------------------------------------------------------------------


def hedged() -> tuple[Bench, FakeConnection]:
    """A flight that has asked both replicas, and its client."""
    bench = Bench(StepClock(), 2)
    flight, client = bench.begin()
    bench.send_another(flight)
    assert [call.replica for call in bench.calls] == ["0", "1"]
    return bench, client


@pytest.mark.parametrize("winner", [0, 1])
def test_of_two_attempts_the_first_to_answer_is_the_answer_and_the_other_is_abandoned(winner: int) -> None:
    bench, client = hedged()
    call, other = bench.calls[winner], bench.calls[1 - winner]
    call.head()
    call.read(chunk())
    assert (other.aborted, bench.outstanding()["t0 series"]) == (True, 1)
    call.done(FINISH, DONE)
    assert client.body == chunk() + FINISH + DONE
    assert client.headers["x-penstock-replica"] == str(winner)
    assert (bench.ledger.answered, bench.outstanding()) == (bench.ledger.settled[0].attempts[winner], {})


def test_while_another_attempt_runs_a_failure_is_not_retried_and_not_told() -> None:
    bench, client = hedged()
    bench.calls[0].answer(500, b"", JSON)
    assert (len(bench.calls), client.state, bench.ledger.retries) == (2, "waiting", [])
    bench.calls[1].failed(ConnectionLost("closed"))
    assert bench.ledger.retries == ["connection_lost"]
    bench.loop.fire()
    bench.calls[2].head()
    bench.calls[2].done(FINISH)
    assert (client.status, bench.outstanding()) == (200, {})
