"""The answer to one client: what it is told of a failure depends on what has left, and on nothing else."""

from __future__ import annotations

import gc
import json
import sys

import pytest

from engines.model import Operation
from engines.operations import OPERATION_KEYS
from engines.wire import DIALECTS
from gateway.errors import Failure
from gateway.reply import EVENTS, Reply
from routing.route import RetrySettings
from tests.gateway.flights import JSON, KEEN, NO_RETRY, Bench, FakeConnection, StepClock
from tests.gateway.relayed import DONE, FINISH, answer, chunk

pytestmark = pytest.mark.usefixtures("now")


ID = b"x-request-id: req-1\r\n"
LOST = Failure("connection_lost", "it is gone")


def new() -> tuple[Reply, FakeConnection]:
    client = FakeConnection()
    return Reply(client, DIALECTS[Operation.CHAT], b"req-1"), client


def test_while_the_head_is_held_a_failure_is_an_http_error() -> None:
    reply, client = new()
    reply.begin(200, EVENTS + ID, DIALECTS[Operation.CHAT].reader())
    assert (reply.untold, reply.status_of(LOST)) == (True, 502)
    reply.fail(LOST, ID)
    assert (client.status, client.error["message"], client.state) == (502, "it is gone", "answered")
    assert client.headers["x-request-id"] == "req-1"


@pytest.mark.parametrize("left", [False, True])
def test_after_an_event_a_failure_is_an_event_whether_it_has_left_or_waits(left: bool) -> None:
    reply, client = new()
    reply.begin(200, EVENTS + ID, DIALECTS[Operation.CHAT].reader())
    reply.events.append(chunk())
    if left:
        reply.flush()
    assert (reply.untold, reply.status_of(LOST)) == (False, 200)
    reply.fail(LOST, ID)
    assert (client.status, client.state) == (200, "answered")
    assert client.body.startswith(chunk() + b'data: {"error":{"message":"it is gone"')
    assert b"[DONE]" not in client.body


def test_a_document_that_has_begun_is_cut() -> None:
    reply, client = new()
    reply.pass_on(200, ID, b"{")
    reply.pass_on(200, ID, b'"a":')
    assert reply.status_of(LOST) == 200
    reply.fail(LOST, ID)
    assert (client.body, client.state) == (b'{"a":', "cut")


def test_a_reply_needs_no_attempt_a_comment_begins_it_and_a_failure_is_told_in_it() -> None:
    reply, client = new()
    reply.comment(b"waiting", ID)
    assert (client.status, client.headers["content-type"], client.state) == (200, "text/event-stream", "streaming")
    reply.comment(b"still waiting", ID)
    assert client.writes == [b": waiting\n\n", b": still waiting\n\n"]
    assert reply.status_of(LOST) == 200
    reply.fail(LOST, ID)
    assert json.loads(client.writes[-1][6:])["error"]["code"] == "engine_connection_lost"
    assert client.state == "answered"


# -- comments before an attempt answers, through a whole flight -------------------------------------------------------


def commented(retry: RetrySettings = KEEN) -> tuple[Bench, FakeConnection]:
    bench = Bench(StepClock(), retry=retry)
    flight, client = bench.begin()
    flight.reply.comment(b"waiting", flight.head_down())
    return bench, client


def test_a_stream_goes_on_after_a_comment() -> None:
    bench, client = commented()
    bench.calls[0].head()
    bench.calls[0].done(chunk(), FINISH, DONE)
    assert client.body == b": waiting\n\n" + chunk() + FINISH + DONE
    assert (bench.ledger.records[0].status, bench.outstanding()) == (200, {})


@pytest.mark.parametrize("status", [400, 404, 429, 501])
def test_an_engines_refusal_after_a_comment_is_told_inside_the_stream(status: int) -> None:
    bench, client = commented()
    bench.calls[0].answer(status, b'{"error": {"message": "no"}}', (*JSON, (b"retry-after", b"99")))
    assert (client.status, client.state) == (200, "answered")
    assert client.body.count(b'data: {"error"') == 1
    assert (bench.ledger.records[0].status, bench.outstanding()) == (200, {})


def test_a_document_after_a_comment_is_told_as_an_error() -> None:
    bench, client = commented(NO_RETRY)
    bench.calls[0].answer(200, answer(), JSON)
    assert (client.status, client.state) == (200, "answered")
    assert client.body.count(b'data: {"error"') == 1


# -- memory ----------------------------------------------------------------------------------------------------------


def test_a_settled_flight_is_freed_without_the_collector() -> None:
    bench = Bench(StepClock(), 2)
    gc.collect()
    gc.disable()
    try:
        for end in ("whole", "retried", "gone"):
            flight, _ = bench.begin()
            call = bench.calls[-1]
            if end == "retried":
                call.answer(500, b"", JSON)
                call = bench.calls[-1]
            call.head()
            call.read(chunk())
            if end == "gone":
                flight.client_gone()
            else:
                call.done(FINISH, DONE)
            assert flight.settled
            del flight, call
            bench.forget()
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("members", [{}, {"n": 1}, {"messages": [{"role": "user", "content": "x" * 32_000}]}])
def test_a_stream_pins_neither_its_prompt_nor_its_fleet_once_something_has_left(members: dict[str, object]) -> None:
    bench = Bench(StepClock())
    pools = bench.route.speakers[OPERATION_KEYS[Operation.CHAT]].pools
    at_rest = sys.getrefcount(bench.serving), sys.getrefcount(bench.route), sys.getrefcount(pools)
    flight, client = bench.begin(**members)  # type: ignore[arg-type]
    (call,) = bench.calls
    body, written = flight.request.body, call.body
    assert sys.getrefcount(bench.serving) > at_rest[0]
    call.head()
    call.read(chunk()[:20])  # an event that is not whole may still turn out to be an error
    assert sys.getrefcount(body) > 2
    call.read(chunk()[20:])
    assert client.state == "streaming"
    assert (sys.getrefcount(body), sys.getrefcount(written)) == (2, 3)  # ours, the call's and the question's
    assert (sys.getrefcount(bench.serving), sys.getrefcount(bench.route), sys.getrefcount(pools)) == at_rest
    call.done(FINISH, DONE)
    assert (client.body, bench.outstanding()) == (chunk() + FINISH + DONE, {})
