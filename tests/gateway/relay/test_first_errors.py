"""An error before anything of an answer has left, also behind comments that have."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from engines.model import Operation
from engines.operations import FORMS, STORED
from engines.sse import split
from routing.failing.breaker import BreakerSettings, Verdict
from tests.engines.wire.frames import ODD_ERRORS, Json, frame
from tests.gateway.flights import HELD_BYTES, NO_RETRY, SSE, Bench, StepClock
from tests.gateway.relayed import ASKED, BREAKS, DONE, ERROR, FINISH, PROCESSING, SUCCESS, USAGE, chunk, relayed

pytestmark = pytest.mark.usefixtures("now")


def test_an_error_before_any_content_is_an_honest_http_error() -> None:
    client, bench = relayed([ERROR, DONE])
    assert (client.status, client.body) == (500, ERROR[6:-2])
    assert client.headers["content-type"] == "application/json"
    assert bench.calls[0].aborted


def test_an_error_without_a_status_is_a_bad_gateway() -> None:
    client, _ = relayed([frame({"error": {"message": "no", "code": "odd"}})])
    assert (client.status, client.error["message"]) == (502, "no")


@pytest.mark.parametrize("code", [401, 403])
def test_an_error_about_our_credentials_is_not_the_clients_to_read(code: int) -> None:
    client, bench = relayed([frame({"error": {"message": "bad key sk-12...", "code": code}})])
    assert (client.status, client.error["code"]) == (502, "engine_auth")
    assert b"sk-12" not in client.body
    assert bench.ledger.settled[0].error_kind == "engine_auth"


def test_a_status_nobody_has_heard_of_can_be_told() -> None:
    client, _ = relayed([frame({"error": {"message": "no", "code": 599}})])
    assert (client.status, client.error["message"]) == (599, "no")


def test_secrets_are_taken_out_of_a_first_error() -> None:
    bench = Bench(StepClock(), secrets=(b"sk-secret-key",), retry=NO_RETRY)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(frame({"error": {"message": "key sk-secret-key is no good", "code": 500}}))
    assert client.error["message"] == "key *** is no good"


def test_an_error_event_of_responses_becomes_an_error_object() -> None:
    event = frame({"type": "error", "code": "server_error", "message": "it broke", "param": None}, name="error")
    client, _ = relayed([event], operation=Operation.RESPONSES)
    assert client.status == 500
    assert "it broke" in client.error["message"]


def test_an_error_event_of_messages_is_an_error_object_already() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    client, _ = relayed([frame(error, name="error")], operation=Operation.MESSAGES)
    assert (client.status, json.loads(client.body)) == (529, with_id(Operation.MESSAGES, error))


def with_id(operation: Operation, error: Json) -> Json:
    """An engine's error as its client reads it: Anthropic's find the request's id in it."""
    return {**error, "request_id": "req-1"} if operation is Operation.MESSAGES else error


KINDS: list[tuple[Operation, Json, int]] = [
    (Operation.CHAT, {"error": {"message": "no", "type": "InternalServerError", "code": 500}}, 500),
    (Operation.CHAT, {"error": {"message": "no", "type": "rate_limit_error", "code": None}}, 429),
    (Operation.COMPLETIONS, {"error": {"message": "no", "code": "429"}}, 429),
    (Operation.EMBEDDINGS, {"error": {"message": "no", "type": "server_error"}}, 500),
    (Operation.MESSAGES, {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}, 529),
    (Operation.MESSAGES, {"type": "error", "error": {"type": "api_error", "message": "no"}}, 500),
    (Operation.RESPONSES, {"error": {"message": "no", "type": "server_error"}}, 500),
]


NOT_RETRIED: list[tuple[Operation, Json]] = [
    (Operation.CHAT, {"error": {"message": "no", "type": "BadRequestError", "code": 400}}),
    (Operation.CHAT, {"error": {"message": "no", "type": "invalid_request_error", "code": "context_length_exceeded"}}),
    (Operation.CHAT, {"error": {"message": "This model's maximum context length is 8192 tokens."}}),
    (Operation.MESSAGES, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}),
]


@pytest.mark.parametrize(("operation", "error", "status"), KINDS)
@pytest.mark.parametrize("way", ["event", "document", "document for a stream"])
def test_an_error_in_a_200_is_a_failed_attempt_with_its_status(
    operation: Operation, error: Json, status: int, way: str
) -> None:
    """Retry, fallback, breaker and the client are told what an HTTP answer with that status would have told them."""
    ends = []
    for named in (False, True):
        bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
        _, client = bench.begin(operation, stream=way != "document")
        for tier in (0, 1):
            call = bench.calls[tier]
            body = json.dumps(error).encode()
            if named:
                call.answer(status, body)
            elif way == "event":
                call.head()
                call.read(frame(error, name=str(error.get("type", ""))))
            else:
                call.answer(200, body)
        (record,) = bench.ledger.records
        failures = [sum(state.breaker._bad) for state in bench.table]
        successes = [sum(state.breaker._good) for state in bench.table]
        told = (client.status, json.loads(client.body), record.status, record.error, record.ttft_ms)
        ends.append((told, failures, successes, bench.ledger.retries, bench.ledger.fallbacks, bench.outstanding()))
        assert client.headers["x-penstock-attempts"] == "2"
    assert ends[0] == ends[1]
    assert ends[0][0][:2] == (status, with_id(operation, error))


@pytest.mark.parametrize(("operation", "error"), NOT_RETRIED)
@pytest.mark.parametrize("stream", [True, False])
def test_an_error_in_a_200_that_the_request_made_is_the_clients(
    operation: Operation, error: Json, stream: bool
) -> None:
    bench = Bench(StepClock(), 2)
    _, client = bench.begin(operation, stream=stream)
    if stream:
        bench.calls[0].head()
        bench.calls[0].read(frame(error))
    else:
        bench.calls[0].answer(200, json.dumps(error).encode())
    assert (client.status, json.loads(client.body)) == (400, with_id(operation, error))
    assert [sum(state.breaker._bad) for state in bench.table] == [0, 0]


@pytest.mark.parametrize("operation", sorted(set(Operation) - set(STORED) - set(FORMS), key=str))
@pytest.mark.parametrize(("body", "status"), [(ODD_ERRORS[0][0], 400), (ODD_ERRORS[1][0], 502)])
def test_an_error_in_a_200_is_one_whatever_was_asked_for(operation: Operation, body: bytes, status: int) -> None:
    bench = Bench(StepClock(), 1, retry=NO_RETRY)
    _, client = bench.begin(operation, stream=False)
    bench.calls[0].answer(200, body)
    assert (client.status, client.headers["content-type"]) == (status, "application/json")


@pytest.mark.parametrize("before", [b"", b": wait\n\n", b'event: ping\ndata: {"type": "ping"}\n\n'])
@pytest.mark.parametrize(("operation", "error", "status"), KINDS)
def test_an_error_event_in_the_place_of_a_document_is_a_failed_attempt(
    operation: Operation, error: Json, status: int, before: bytes
) -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(operation, stream=False)
    for tier in (0, 1):
        bench.calls[tier].head(200, SSE)
        bench.calls[tier].done(before + frame(error, name=str(error.get("type", ""))) + DONE)
    assert (client.status, json.loads(client.body)) == (status, with_id(operation, error))
    assert client.headers["x-penstock-attempts"] == "2"


@pytest.mark.parametrize("body", [chunk() + FINISH + DONE, b"", b": wait\n\n", chunk() * 200 + ERROR])
def test_events_in_the_place_of_a_document_pass_where_they_begin_with_no_error(body: bytes) -> None:
    bench = Bench(StepClock(), 1, retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    bench.calls[0].head(200, SSE)
    bench.calls[0].done(body)
    assert (client.status, client.body) == (200, body)


def test_what_another_replica_answers_after_a_first_error_is_the_answer() -> None:
    bench = Bench(StepClock(), 2)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(ERROR + DONE)
    assert (bench.calls[0].aborted, client.state) == (True, "waiting")
    bench.calls[1].head()
    bench.calls[1].done(chunk(), FINISH, DONE)
    assert (client.status, client.body) == (200, chunk() + FINISH + DONE)
    (record,) = bench.ledger.records
    assert (record.error, record.attempts, bench.ledger.retries) == ("", 2, ["server_error"])
    assert [(sum(state.breaker._bad), sum(state.breaker._good)) for state in bench.table] == [(1, 0), (0, 1)]


NOTHING_SAID = [b": processing\n\n", b'event: ping\ndata: {"type": "ping"}\n\n', b"data:\r\n\r\n", b"event: x\n\n"]


@pytest.mark.parametrize("said", [[one] for one in NOTHING_SAID] + [NOTHING_SAID])
def test_an_error_behind_comments_and_pings_of_its_read_is_a_failed_attempt(said: list[bytes]) -> None:
    bench = Bench(StepClock(), 2)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(*said, ERROR + DONE)
    assert (bench.calls[0].aborted, client.state) == (True, "waiting")
    bench.calls[1].head()
    bench.calls[1].done(chunk(), FINISH, DONE)
    assert (client.status, client.body) == (200, chunk() + FINISH + DONE)
    (record,) = bench.ledger.records
    assert (record.error, record.attempts, bench.ledger.retries) == ("", 2, ["server_error"])


@pytest.mark.parametrize("said", NOTHING_SAID)
def test_behind_comments_that_have_left_another_engine_answers_in_the_place_of_an_error(said: bytes) -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    flight, client = bench.begin()
    bench.calls[0].head()
    for _ in range(3):
        bench.calls[0].read(said)
    # The body is held as it came, and as it was written for who is asked.
    kept = len(flight.request.body) + len(bench.calls[0].body)
    assert (client.body, bench.ledger.held.bytes) == (said * 3, kept)
    bench.calls[0].read(ERROR, DONE)
    assert (bench.calls[0].aborted, client.state, bench.ledger.held.bytes) == (True, "streaming", 0)
    bench.calls[1].head()
    bench.calls[1].read(PROCESSING)
    assert bench.ledger.held.bytes == kept
    bench.calls[1].read(chunk())
    assert bench.ledger.held.bytes == 0
    bench.calls[1].done(FINISH, DONE)
    assert (client.status, client.body) == (200, said * 3 + PROCESSING + chunk() + FINISH + DONE)
    (record,) = bench.ledger.records
    assert (record.status, record.error, record.engine, record.attempts) == (200, "", "t1", 2)
    assert bench.ledger.fallbacks == [("t0", "t1")]
    assert [(sum(state.breaker._bad), sum(state.breaker._good)) for state in bench.table] == [(1, 0), (0, 1)]
    assert bench.outstanding() == {}


def test_an_error_behind_comments_for_which_nobody_else_is_left_passes_as_the_engine_said_it() -> None:
    client, bench = relayed([PROCESSING], [ERROR, DONE])
    assert (client.status, client.body, client.state) == (200, PROCESSING + ERROR, "answered")
    (record,) = bench.ledger.records
    assert (record.status, record.error) == (200, "engine_500")


def test_a_flat_error_event_behind_comments_is_completed_as_it_is_elsewhere() -> None:
    flat = frame({"type": "error", "code": "server_error", "message": "broke", "sequence_number": 0}, name="error")
    client, _ = relayed([PROCESSING], [flat], operation=Operation.RESPONSES)
    (told,) = split(client.body.removeprefix(PROCESSING))
    assert json.loads(told.partition(b"data: ")[2])["error"]["message"] == "broke"


def test_what_the_last_engine_refuses_behind_comments_is_told_in_its_own_words() -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(PROCESSING)
    bench.calls[0].read(ERROR)
    bench.calls[1].answer(400, b'{"error": {"message": "too long", "type": "invalid_request_error", "code": 7}}')
    assert client.body == PROCESSING + frame(
        {"error": {"message": "too long", "type": "invalid_request_error", "param": None, "code": "7"}}
    )
    (record,) = bench.ledger.records
    assert (record.status, record.error, record.attempts) == (200, "engine_400", 2)


def test_what_an_error_behind_comments_says_of_our_key_is_hidden() -> None:
    bench = Bench(StepClock(), 1, retry=NO_RETRY, secrets=(b"sk-secret",))
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(PROCESSING)
    bench.calls[0].read(frame({"error": {"message": "no sk-secret", "code": 500}}))
    assert client.body == PROCESSING + frame({"error": {"message": "no ***", "code": 500}})


def test_a_stream_that_ends_behind_comments_is_a_failed_attempt() -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(PROCESSING)
    bench.calls[0].done(DONE)
    bench.calls[1].head()
    bench.calls[1].done(chunk(), FINISH, DONE)
    assert client.body == PROCESSING + chunk() + FINISH + DONE


def test_a_prompt_behind_comments_that_finds_no_room_is_let_go_and_an_error_passes() -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    large: dict[str, Any] = {"messages": [{"role": "user", "content": "x" * (HELD_BYTES // 4)}]}
    first, _ = bench.begin(**large)
    second, client = bench.begin(**large)
    for call in bench.calls:
        call.head()
        call.read(PROCESSING)
    kept = len(first.request.body) + len(bench.calls[0].body)
    assert (bench.ledger.held.bytes, len(second.request.body)) == (kept, 0)
    bench.calls[1].read(ERROR)
    bench.calls[1].done(DONE)
    assert (client.body, len(bench.calls)) == (PROCESSING + ERROR, 2)
    first.client_gone()
    assert bench.outstanding() == {}


def test_a_client_that_leaves_behind_comments_gives_the_room_back() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(PROCESSING)
    flight.client_gone()
    assert bench.outstanding() == {}


def test_a_break_behind_comments_is_told_and_never_tried_again() -> None:
    bench = Bench(StepClock(), 1, 1)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(PROCESSING)
    bench.calls[0].failed(BREAKS[0][0])
    assert (len(bench.calls), bench.ledger.records[0].error) == (1, "answer_truncated")
    assert client.body.startswith(PROCESSING + b'data: {"error":')
    assert bench.outstanding() == {}


@pytest.mark.parametrize("said", [[], NOTHING_SAID])
def test_a_stream_that_ends_with_nothing_in_it_is_a_failed_attempt(said: list[bytes]) -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].done(*said, DONE)
    bench.calls[1].head()
    bench.calls[1].done(chunk(), FINISH, DONE)
    assert (client.status, client.body) == (200, chunk() + FINISH + DONE)
    (record,) = bench.ledger.records
    assert (record.error, record.attempts, bench.ledger.retries) == ("", 2, ["bad_answer"])
    assert bench.outstanding() == {}


def test_a_probe_whose_stream_begins_with_an_error_opens_the_breaker_again(now: StepClock) -> None:
    bench = Bench(now, 2, breaker=BreakerSettings(min_failures=1, jitter_ratio=0.0))
    state = next(iter(bench.table))
    state.breaker.record(state.breaker.admit(1000.0), Verdict.FAILURE, 1000.0, random.Random(1))
    now.now_s = 1005.0
    while not state.breaker._probes:
        bench.begin()
    probe = bench.engines[0].calls[-1]
    probe.head()
    probe.read(ERROR)
    assert (state.breaker.closed, state.breaker.open_until) == (False, 1015.0)


@pytest.mark.parametrize(
    ("error", "failures"),
    [
        ({"message": "no", "code": 500}, 1),
        ({"message": "no"}, 1),
        ({"message": "no", "code": 503}, 0),
        ({"message": "too long", "code": 400}, 0),
    ],
)
def test_an_error_after_something_has_left_takes_the_place_of_the_success(error: Json, failures: int) -> None:
    bench = Bench(StepClock(), 2)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(chunk())
    assert [sum(state.breaker._good) for state in bench.table] == [1, 0]
    bench.calls[0].read(frame({"error": error}))
    bench.calls[0].done(DONE)
    assert client.body == chunk() + frame({"error": error})
    state = next(iter(bench.table))
    assert (sum(state.breaker._bad), sum(state.breaker._good)) == (failures, 1 - failures)
    assert bench.ledger.records[0].error == "engine_error"


@pytest.mark.parametrize(
    ("operation", "content"),
    [
        (Operation.CHAT, chunk()),
        (Operation.MESSAGES, frame({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}})),
        (Operation.RESPONSES, frame({"type": "response.output_text.delta", "delta": "Hi"})),
    ],
)
def test_no_marker_passes_after_an_error_in_any_format(operation: Operation, content: bytes) -> None:
    error = frame({"type": "error", "sequence_number": 1, "error": {"type": "api_error", "message": "it broke"}})
    client, bench = relayed([content], [error], [DONE, b": bye\n\n", SUCCESS[operation]], operation=operation)
    assert client.body.startswith(content)
    assert b"it broke" in client.body
    assert b"[DONE]" not in client.body
    assert bench.ledger.records[0].error == "engine_error"


@pytest.mark.parametrize(("ending", "failures"), [([DONE], 0), ([], 1)])
def test_a_marker_without_a_finish_reason_is_a_habit_and_a_stream_without_either_was_cut(
    ending: list[bytes], failures: int
) -> None:
    bench = Bench(StepClock(), 2)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(chunk())
    bench.calls[0].done(*ending)
    state = next(iter(bench.table))
    assert (sum(state.breaker._bad), sum(state.breaker._good)) == (failures, 1 - failures)
    assert b"engine_answer_truncated" in client.body
    assert bench.ledger.records[0].error == "no_finish_reason"


def test_a_message_stop_without_a_stop_reason_is_a_habit_too() -> None:
    bench = Bench(StepClock(), 2)
    _, client = bench.begin(Operation.MESSAGES)
    bench.calls[0].head()
    bench.calls[0].read(frame({"type": "content_block_delta"}, name="content_block_delta"))
    bench.calls[0].done(frame({"type": "message_stop"}, name="message_stop"))
    assert [sum(state.breaker._bad) for state in bench.table] == [0, 0]
    assert b"ended without a finish reason" in client.body


def test_a_failed_answer_teaches_nothing_about_the_length_of_answers() -> None:
    lengths = []
    for ending in ([FINISH, USAGE], [USAGE, ERROR]):
        bench = Bench(StepClock(), 2)
        flight, _ = bench.begin(**ASKED)
        before = flight.tokens.output_tokens()
        bench.calls[0].head()
        bench.calls[0].read(chunk(), *ending)
        bench.calls[0].done(DONE)
        lengths.append(flight.tokens.output_tokens() == before)
    assert lengths == [False, True]
