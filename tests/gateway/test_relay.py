"""What passes, what is held back and what is added, between any engine's pieces and the client."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import AnswerTruncated, ClientStalled, EngineError, IdleTimeout, TotalTimeout
from engines.model import Operation, Usage
from engines.operations import FORMS, STORED
from engines.sse import split
from gateway.accounts.prices import Rates, Row, Table, Tables
from gateway.relay.document import ERROR_BYTES, HOLD_BYTES, usage_in
from gateway.relay.stream import MAX_EVENT_BYTES
from routing.failing.breaker import BreakerSettings, Verdict
from routing.route import RetrySettings
from tests.engines.test_sse import ended, parsed, pieces, streams
from tests.engines.wire.frames import ODD_ERRORS, Json, frame, shuffled, words
from tests.gateway.flights import HELD_BYTES, JSON, KEEN, NO_RETRY, SSE, Bench, FakeConnection, StepClock

relaxed = settings(deadline=None)
DONE = b"data: [DONE]\n\n"
ASKED: dict[str, Any] = {"stream_options": {"include_usage": True}}


def chunk(text: str = "Hi", reason: str | None = None, **members: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": reason}
    return frame({"id": "c1", "object": "chat.completion.chunk", "choices": [choice], **members})


FINISH = chunk("", "stop")
USAGE = frame({"id": "c1", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
ERROR = frame({"error": {"message": "it broke", "type": "InternalServerError", "param": None, "code": 500}})
SUCCESS = {
    Operation.CHAT: FINISH + DONE,
    Operation.MESSAGES: frame({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    + frame({"type": "message_stop"}, name="message_stop"),
    Operation.RESPONSES: frame({"type": "response.completed", "response": {"status": "completed"}}),
}


pytestmark = pytest.mark.usefixtures("now")


def relayed(
    *reads: list[bytes], operation: Operation = Operation.CHAT, end: EngineError | None = None, **members: Any
) -> tuple[FakeConnection, Bench]:
    """A stream of these reads, each of some pieces, ended by its framing or by an error; nothing is tried again."""
    bench = Bench(StepClock(), retry=NO_RETRY)
    _, client = bench.begin(operation, **members)
    (call,) = bench.calls
    call.head()
    for read in reads:
        call.read(*read)
    if call.open:
        if end is None:
            call.done()
        else:
            call.failed(end)
    assert len(bench.ledger.settled) == 1
    assert bench.outstanding() == {}
    return client, bench


def in_reads(parts: list[bytes], sizes: list[int]) -> list[list[bytes]]:
    """The pieces in reads of these sizes, cyclically."""
    reads, left = [], list(parts)
    for size in [*sizes, *[1] * len(parts)]:
        if left:
            reads.append(left[:size])
            left = left[size:]
    return reads


# -- what passes -----------------------------------------------------------------------------------------------------


@relaxed
@given(
    stream=streams(),
    operation=st.sampled_from(sorted(SUCCESS, key=str)),
    cuts=st.lists(st.integers(0, 10_000), max_size=8),
    sizes=st.lists(st.integers(1, 3), max_size=8),
)
def test_any_stream_in_any_pieces_passes_as_it_came(
    stream: bytes, operation: Operation, cuts: list[int], sizes: list[int]
) -> None:
    stream = stream.replace(b"[DONE]", b"[done]") + b"\n\n" + SUCCESS[operation]
    client, _ = relayed(*in_reads(pieces(stream, cuts), sizes), operation=operation, **ASKED)
    assert client.body == stream
    assert client.state == "answered"


@st.composite
def answers(draw: st.DrawFn) -> list[Json]:
    """The chunks of one chat answer, with or without usage, in the ways engines report it."""
    texts = draw(st.lists(words, min_size=1, max_size=5))
    usages = [{"prompt_tokens": 9, "completion_tokens": count} for count in range(1, len(texts) + 1)]
    report = draw(st.sampled_from(["none", "null", "every", "last chunk", "own chunk"]))
    chunks: list[Json] = []
    for place, text in enumerate(texts):
        last = place == len(texts) - 1
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": "length" if last else None}
        value: Json = {"id": "x", "choices": [choice]}
        if report in ("null", "own chunk"):
            value["usage"] = None
        elif report == "every" or (report == "last chunk" and last):
            value["usage"] = usages[place]
        chunks.append(value)
    if report == "own chunk":
        chunks.append({"id": "x", "choices": [], "usage": usages[-1]})
    return chunks


@relaxed
@given(
    answer=answers(),
    style=st.sampled_from(["compact", "compact ascii", "spaced", "indented"]),
    order=st.integers(0, 9),
    end=st.sampled_from(["\n", "\r\n"]),
    cuts=st.lists(st.integers(0, 10_000), max_size=6),
    sizes=st.lists(st.integers(1, 3), max_size=6),
)
def test_usage_and_finish_are_read_whatever_the_style_of_the_json(
    answer: list[Json], style: str, order: int, end: str, cuts: list[int], sizes: list[int]
) -> None:
    events = [frame(shuffled(value, random.Random(order)), style, end=end) for value in answer]
    reported = [value["usage"] for value in answer if value.get("usage")]
    last = reported[-1] if reported else None

    client, bench = relayed(*in_reads(pieces(b"".join(events) + DONE, cuts), sizes))

    answered = bench.ledger.answered
    assert answered.finish_reason == "length"
    assert answered.usage == (Usage(9, last["completion_tokens"]) if last else None)
    assert (
        client.body == b"".join(event for event, value in zip(events, answer, strict=True) if value["choices"]) + DONE
    )


@relaxed
@given(
    texts=st.lists(words, min_size=1, max_size=4),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1, max_size=7),
    mark=st.booleans(),
    cuts=st.lists(st.integers(0, 10_000), max_size=8),
    sizes=st.lists(st.integers(1, 3), max_size=8),
)
def test_any_legal_framing_in_any_pieces_is_the_same_answer(
    texts: list[str], ends: list[str], mark: bool, cuts: list[int], sizes: list[int]
) -> None:
    usual = b"".join(chunk(text) for text in texts) + FINISH + USAGE + DONE
    lines = usual.decode().split("\n")[:-1]
    framed = ended(lines, (ends * len(lines))[: len(lines)]).encode()
    client, bench = relayed(*in_reads(pieces(b"\xef\xbb\xbf" * mark + framed, cuts), sizes))
    assert parsed(client.body) == parsed(usual.replace(USAGE, b""))
    assert not client.body.startswith(b"\xef")
    answered = bench.ledger.answered
    assert (answered.usage, answered.finish_reason) == (Usage(11, 7), "stop")
    assert answered.content_events == sum(text != "" for text in texts)


def test_usage_before_the_choices_and_the_end_of_an_earlier_choice_are_seen() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 7}
    before = frame({"id": "c1", "usage": usage, "choices": [{"index": 0, "delta": {}, "finish_reason": None}]})
    client, bench = relayed([frame(json.loads(chunk()[6:]) | {"id": "c1"})], [before], [FINISH, DONE])
    assert bench.ledger.answered.usage == Usage(11, 7)
    both = [{"index": 0, "delta": {}, "finish_reason": "stop"}, {"index": 1, "delta": {}, "finish_reason": None}]
    second = frame({"id": "c1", "choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]})
    ordinary = frame({"id": "c1", "choices": [{"index": 1, "delta": {"content": "a"}, "finish_reason": None}]})
    client, bench = relayed([ordinary], [ordinary], [frame({"id": "c1", "choices": both})], [second], n=2)
    assert (bench.ledger.settled[0].error_kind, client.body.endswith(second + DONE)) == ("", True)


def test_a_media_type_compares_without_case() -> None:
    bench = Bench(StepClock())
    _, client = bench.begin()
    bench.calls[0].head(200, ((b"content-type", b"Text/Event-Stream; Charset=UTF-8"),))
    bench.calls[0].read(chunk())
    assert client.body == chunk()
    bench.calls[0].done(FINISH)


def test_pieces_of_one_read_leave_in_one_write_and_no_read_waits_for_the_next() -> None:
    bench = Bench(StepClock())
    _, client = bench.begin()
    (call,) = bench.calls
    call.head()
    call.read(chunk("a"), chunk("b"))
    assert client.writes == [chunk("a") + chunk("b")]
    call.read(chunk("c")[:20])
    call.read(chunk("c")[20:], chunk("d"))
    assert client.writes[1:] == [chunk("c") + chunk("d")]
    call.done(FINISH, DONE)
    assert client.writes[2:] == [FINISH + DONE]


def test_comments_and_pings_pass() -> None:
    client, _ = relayed([b": OPENROUTER PROCESSING\n\n"], [chunk()], [b"event: ping\n\n", FINISH, DONE])
    assert client.body == b": OPENROUTER PROCESSING\n\n" + chunk() + b"event: ping\n\n" + FINISH + DONE


def test_azures_first_chunk_passes() -> None:
    first = frame({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
    client, _ = relayed([first], [chunk()], [FINISH, DONE])
    assert client.body == first + chunk() + FINISH + DONE


@pytest.mark.parametrize("asked", [{}, {"stream_options": {}}, {"stream_options": {"include_usage": False}}])
def test_the_usage_event_is_withheld_from_whoever_did_not_ask(asked: Json) -> None:
    client, bench = relayed([chunk()], [FINISH, USAGE, DONE], **asked)
    assert client.body == chunk() + FINISH + DONE
    assert bench.ledger.answered.usage == Usage(11, 7)


def test_only_named_headers_pass() -> None:
    headers = (
        *SSE,
        (b"server", b"uvicorn"),
        (b"set-cookie", b"a=b"),
        (b"x-ratelimit-remaining-tokens", b"7"),
        (b"openai-processing-ms", b"12"),
        (b"x-request-id", b"theirs"),
        (b"content-length", b"3"),
    )
    bench = Bench(StepClock())
    _, client = bench.begin()
    bench.calls[0].head(200, headers)
    bench.calls[0].read(chunk())
    assert client.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "x-ratelimit-remaining-tokens": "7",
        "openai-processing-ms": "12",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "x-request-id": "req-1",
        "x-penstock-record-id": f"{1:032x}",
        "x-penstock-engine": "t0",
        "x-penstock-replica": "0",
        "x-penstock-attempts": "1",
        "x-penstock-overhead-ms": "0.000",
    }
    bench.calls[0].done(FINISH)


# -- how a stream ends -----------------------------------------------------------------------------------------------


def test_a_done_that_the_engine_forgot_is_added() -> None:
    client, _ = relayed([chunk()], [FINISH])
    assert client.body == chunk() + FINISH + DONE


def test_a_message_stop_that_the_engine_lost_is_added() -> None:
    delta, stop = split(SUCCESS[Operation.MESSAGES])
    for end in (None, BREAKS[0][0]):
        client, bench = relayed([delta], operation=Operation.MESSAGES, end=end)
        assert client.body == delta + stop
        assert bench.ledger.settled[0].error_kind == ""


@pytest.mark.parametrize("operation", [Operation.MESSAGES, Operation.RESPONSES])
def test_no_end_is_added_to_the_engines_own(operation: Operation) -> None:
    events = SUCCESS[operation]
    client, _ = relayed([events], operation=operation)
    assert client.body == events


@pytest.mark.parametrize("rest", [b"", b"\n", b"\r\n"])
def test_a_last_event_without_its_blank_line_counts(rest: bytes) -> None:
    client, _ = relayed([chunk()], [FINISH.rstrip() + rest])
    assert client.body == chunk() + FINISH + DONE


@pytest.mark.parametrize("ending", [[], [DONE]])
def test_a_stream_without_finish_reason_ends_in_an_error_and_no_done(ending: list[bytes]) -> None:
    client, bench = relayed([chunk()], ending)
    passed, error = split(client.body)
    assert passed == chunk()
    assert json.loads(error[6:])["error"]["code"] == "engine_answer_truncated"
    assert bench.ledger.settled[0].error_kind == "no_finish_reason"


def test_the_engines_error_passes_and_its_done_does_not() -> None:
    client, bench = relayed([chunk()], [ERROR, DONE])
    assert client.body == chunk() + ERROR
    assert bench.ledger.settled[0].error_kind == "engine_error"


def test_content_and_error_of_one_read_leave_as_a_stream() -> None:
    client, _ = relayed([chunk() + ERROR + DONE])
    assert (client.status, client.body) == (200, chunk() + ERROR)
    client, _ = relayed([chunk(), ERROR, DONE])
    assert (client.status, client.body) == (200, chunk() + ERROR)


BREAKS: list[tuple[EngineError, str, str]] = [
    (AnswerTruncated("the connection closed"), "answer_truncated", "engine_answer_truncated"),
    (IdleTimeout("nothing for 120 s"), "timeout", "timeout"),
    (TotalTimeout("the time is up"), "timeout", "timeout"),
    (ClientStalled("the client reads nothing"), "client_stalled", "client_stalled"),
]


@pytest.mark.parametrize(("error", "kind", "code"), BREAKS, ids=str)
def test_a_break_is_told_inside_the_stream(error: EngineError, kind: str, code: str) -> None:
    client, bench = relayed([chunk(), chunk("half")[:30]], end=error)
    passed, told = split(client.body)
    assert passed == chunk()
    assert json.loads(told[6:])["error"]["code"] == code
    assert json.loads(told[6:])["error"]["message"] == f"model 'm': {error}"
    assert bench.ledger.settled[0].error_kind == kind


@pytest.mark.parametrize(("error", "kind", "code"), BREAKS, ids=str)
def test_a_break_before_any_whole_event_is_an_http_error(error: EngineError, kind: str, code: str) -> None:
    client, bench = relayed([chunk()[:30]], end=error)
    assert client.status == {"answer_truncated": 502, "timeout": 504, "client_stalled": 499}[kind]
    assert (client.error["code"], bench.ledger.settled[0].error_kind) == (code, kind)


@pytest.mark.parametrize(
    ("error", "failures"), [(BREAKS[0][0], 1), (BREAKS[1][0], 1), (BREAKS[2][0], 0), (BREAKS[3][0], 0)]
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_break_is_the_replicas_fault_unless_the_client_made_it(
    error: EngineError, failures: int, stream: bool
) -> None:
    bench = Bench(StepClock(), 2)
    bench.begin(stream=stream)
    bench.calls[0].head(200, SSE if stream else JSON)
    bench.calls[0].read(chunk())
    bench.calls[0].failed(error)
    assert [sum(state.breaker._bad) for state in bench.table] == [failures, 0]


def test_a_break_after_the_finish_reason_loses_nothing() -> None:
    client, bench = relayed([chunk(), FINISH], end=BREAKS[0][0])
    assert client.body == chunk() + FINISH + DONE
    assert bench.ledger.settled[0].error_kind == ""


def test_a_break_after_the_engines_error_is_told_once() -> None:
    client, bench = relayed([chunk(), ERROR], end=BREAKS[0][0])
    assert client.body.count(b'"error"') == 1
    assert bench.ledger.settled[0].error_kind == "engine_error"


def test_a_large_event_in_small_pieces_is_read_with_what_comes_behind_it() -> None:
    large = frame({"id": "c1", "choices": [{"index": 0, "delta": {"content": "a" * 300_000}, "finish_reason": "stop"}]})
    parts = [large[at : at + 4096] for at in range(0, len(large), 4096)]
    client, bench = relayed([chunk()], *[[part] for part in parts[:-1]], [parts[-1] + USAGE + DONE])
    assert client.body == chunk() + large + DONE
    assert metered(bench) == (11, 7, "reported", "")


def test_a_large_event_of_nothing_but_content_counts_as_a_piece_of_it() -> None:
    large = chunk("a" * 300_000)
    client, bench = relayed([large[:280_000]], [large[280_000:] + FINISH + DONE])
    assert client.body == large + FINISH + DONE
    assert metered(bench)[1:] == (1, "estimated", "")


def test_an_endless_event_is_an_error_and_the_engine_is_stopped() -> None:
    part = b"x" * (MAX_EVENT_BYTES // 2)
    client, bench = relayed([chunk()], [b"data: " + part], [part], [part])
    assert split(client.body)[0] == chunk()
    assert b"over %d bytes" % MAX_EVENT_BYTES in split(client.body)[1]
    assert bench.calls[0].aborted


# -- a first event that is an error ----------------------------------------------------------------------------------


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


# -- an error behind comments that have left -------------------------------------------------------------------------

PROCESSING = b": OPENROUTER PROCESSING\n\n"


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


# -- the price in the usage event ------------------------------------------------------------------------------------


def priced(usage: Json, **members: object) -> bytes:
    """The usage event as it reaches a client who asked, of a model at one dollar a token."""
    bench = Bench(StepClock())
    flight, client = bench.begin(**ASKED)
    assert flight.attempt is not None
    flight.attempt.upstream.rates = Rates(Tables(Table((), (Row(10**12, 0, 0, 10**12, 0, 0),)), {}), "configured")
    bench.calls[0].head()
    bench.calls[0].done(chunk(), FINISH, frame({"choices": [], "usage": usage, **members}), DONE)
    return split(client.body)[2]


def test_the_price_of_the_answer_is_in_the_usage_event() -> None:
    event = json.loads(priced({"prompt_tokens": 2, "completion_tokens": 3})[6:])
    assert event == {"choices": [], "usage": {"cost_usd": 5.0, "prompt_tokens": 2, "completion_tokens": 3}}


def test_a_usage_of_nothing_stays_valid_json() -> None:
    assert json.loads(priced({})[6:]) == {"choices": [], "usage": {}}


def test_the_gpus_share_of_every_attempt_is_in_the_usage_event(now: StepClock) -> None:
    bench = Bench(now, 2)  # at a dollar a second
    flight, client = bench.begin(**ASKED)
    bench.calls[0].head()
    now.now_s += 2.0
    bench.calls[0].read(ERROR)
    bench.calls[1].head()
    bench.calls[1].read(chunk(), FINISH)
    now.now_s += 3.0
    bench.calls[1].done(USAGE, DONE)
    assert json.loads(split(client.body)[2][6:])["usage"]["cost_usd"] == 5.0
    assert flight.cost_usd == 5.0


# -- usage that no engine reported -----------------------------------------------------------------------------------


def metered(bench: Bench) -> tuple[int | None, int | None, str, str]:
    (record,) = bench.ledger.records
    return record.input_tokens, record.output_tokens, record.usage_source, record.error


def test_a_client_that_leaves_before_the_usage_is_metered_by_the_pieces_it_had() -> None:
    bench = Bench(StepClock())
    flight, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(chunk(""))
    for text in ("a", "b", "c"):
        bench.calls[0].read(chunk(text), chunk(text))
    before = flight.tokens.output_tokens()
    flight.client_gone()
    assert metered(bench) == (flight.facts.prompt_tokens, 6, "estimated", "client_gone")
    assert (client.status, bench.ledger.records[0].status) == (200, 499)
    assert flight.tokens.output_tokens() == before


def test_what_an_engine_reported_of_a_cut_answer_is_kept_and_its_output_is_counted() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin(Operation.MESSAGES)
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 11, "output_tokens": 1}}}
    delta = frame({"type": "content_block_delta", "delta": {"text": "a"}}, name="content_block_delta")
    bench.calls[0].head()
    bench.calls[0].read(frame(start, name="message_start"), delta, delta, delta)
    flight.client_gone()
    assert metered(bench) == (11, 3, "estimated", "client_gone")


def test_what_an_engine_reports_is_not_estimated() -> None:
    _, bench = relayed([chunk("a")] * 9, [FINISH, USAGE, DONE])
    assert metered(bench) == (11, 7, "reported", "")


def test_a_stream_whose_engine_never_reports_is_metered_too() -> None:
    _, bench = relayed([chunk("a")] * 9, [FINISH, DONE])
    assert metered(bench)[1:] == (9, "estimated", "")


def test_a_stream_without_content_used_nothing_that_is_known() -> None:
    _, bench = relayed([ERROR])
    assert metered(bench) == (None, None, "", "engine_500")


@pytest.mark.parametrize("usage", [[], 7, {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": []}])
@pytest.mark.parametrize("choices", [[], None])
def test_a_usage_event_that_nobody_asked_for_stays_hidden_whatever_its_shape(usage: Any, choices: Any) -> None:
    client, _ = relayed([chunk()], [FINISH, frame({"id": "c1", "choices": choices, "usage": usage}), DONE])
    assert client.body == chunk() + FINISH + DONE


# -- plain answers ---------------------------------------------------------------------------------------------------


def plain(
    *parts: bytes, end: EngineError | None = None, status: int = 200, retry: RetrySettings = KEEN
) -> tuple[FakeConnection, Bench]:
    bench = Bench(StepClock(), retry=retry)
    _, client = bench.begin(stream=False)
    (call,) = bench.calls
    call.head(status, JSON)
    call.read(*parts)
    if call.open and end is None:
        call.done()
    elif end is not None:
        call.failed(end)
    assert len(bench.ledger.settled) == 1
    assert bench.outstanding() == {}
    return client, bench


def answer(size: int = 2) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x" * size}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}).encode()


def test_a_plain_answer_passes_whole_with_its_cost() -> None:
    body = answer()
    client, bench = plain(body[:10], body[10:])
    assert (client.status, client.body, len(client.writes)) == (200, body, 1)
    assert client.headers["x-penstock-cost-usd"] == "0.000000000000"
    assert (bench.ledger.answered.usage, bench.ledger.answered.finish_reason) == (Usage(11, 7), "stop")


def test_an_answer_too_large_to_hold_passes_and_its_usage_is_found_at_its_end() -> None:
    body = answer(HOLD_BYTES + 100_000)
    client, bench = plain(*pieces(body, [1, 1000, HOLD_BYTES, HOLD_BYTES + 5]))
    assert (client.state, client.body == body) == ("answered", True)
    assert bench.ledger.answered.usage == Usage(11, 7)


def test_the_pieces_of_one_read_of_a_large_answer_leave_together() -> None:
    body = answer(HOLD_BYTES + 100_000)
    held, rest = body[: HOLD_BYTES + 1], body[HOLD_BYTES + 1 :]
    client, bench = plain(held, *[rest[at : at + 100] for at in range(0, len(rest), 100)])
    assert (client.state, client.body == body) == ("answered", True)
    assert [len(write) for write in client.writes if write] == [len(held), len(rest)]
    assert bench.ledger.answered.usage == Usage(11, 7)


def large_error(size: int, **members: Any) -> bytes:
    return json.dumps({"error": {"message": "x" * size, "code": 503, **members}}).encode()


@pytest.mark.parametrize("cuts", [[], [HOLD_BYTES + 1], [100, HOLD_BYTES + 1, HOLD_BYTES + 2]])
def test_an_error_too_large_to_hold_is_a_failed_attempt_with_the_status_it_names(cuts: list[int]) -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    bench.calls[0].head(200, JSON)
    for piece in pieces(large_error(HOLD_BYTES + 100_000), cuts):
        bench.calls[0].read(piece)
    assert client.state == "waiting"
    bench.calls[0].done()
    bench.calls[1].answer(200, answer())
    assert (client.status, client.body) == (200, answer())
    (record,) = bench.ledger.records
    assert (record.error, record.attempts, bench.ledger.retries) == ("", 2, ["overloaded"])
    assert bench.outstanding() == {}


def test_an_error_too_large_to_hold_for_which_nobody_is_left_is_told_as_it_came() -> None:
    body = large_error(HOLD_BYTES + 100_000)
    client, bench = plain(body, retry=NO_RETRY)
    assert (client.status, client.body == body) == (503, True)
    assert bench.ledger.records[0].error == "engine_503"


def test_an_error_without_end_is_refused_and_its_engine_stopped() -> None:
    begun = large_error(2 * ERROR_BYTES)[: ERROR_BYTES + 1]
    client, bench = plain(begun[:-1], begun[-1:], retry=NO_RETRY)
    assert (client.status, client.error["code"], bench.calls[0].aborted) == (502, "engine_error", True)


def test_an_error_in_tiny_pieces_costs_no_more_than_an_answer_that_is_held() -> None:
    begun = b"{" + b'"a":1,' * 143 + b'"error":{"message":"'  # the dearest to tell
    body = begun + b"x" * (HOLD_BYTES + 1 - len(begun))
    tiny = [b"x"] * 20_000

    def seconds(beginning: bytes) -> float:
        call = Bench(StepClock(), retry=NO_RETRY)
        call.begin(stream=False)
        (exchange,) = call.calls
        exchange.head(200, JSON)
        exchange.read(beginning)
        before = time.thread_time()
        exchange.read(*tiny)
        return time.thread_time() - before

    assert seconds(body) < 10 * seconds(body[: HOLD_BYTES // 2])


def test_a_piece_of_a_large_event_costs_no_more_than_one_of_a_small() -> None:
    """Only what is new is searched: 7 MiB in small pieces took 88 s."""
    tiny = [b"x"] * 2_000

    def seconds(size: int) -> float:
        call = Bench(StepClock(), retry=NO_RETRY)
        call.begin()
        (exchange,) = call.calls
        exchange.head()
        exchange.read(b'data: {"choices":[{"delta":{"content":"' + b"x" * size)
        before = time.thread_time()
        exchange.read(*tiny)
        return time.thread_time() - before

    assert seconds(4 * 1024 * 1024) < 20 * seconds(1024)


def test_a_large_answer_whose_error_is_null_passes() -> None:
    body = b'{"id":"r","error":null,"status":"completed","output":"' + b"x" * HOLD_BYTES + b'"}'
    client, bench = plain(body)
    assert (client.status, client.body == body, bench.ledger.records[0].error) == (200, True, "")


def test_a_large_answer_that_breaks_is_cut_off() -> None:
    body = answer(HOLD_BYTES + 100_000)
    client, bench = plain(body[:-50], end=BREAKS[0][0])
    assert client.state == "cut"
    assert bench.ledger.settled[0].error_kind == "answer_truncated"


@pytest.mark.parametrize(("error", "kind", "code"), BREAKS, ids=str)
def test_a_plain_answer_that_breaks_is_an_error_of_ours(error: EngineError, kind: str, code: str) -> None:
    client, bench = plain(answer()[:10], end=error)
    assert (client.error["code"], bench.ledger.settled[0].error_kind) == (code, kind)


PROBLEM = ((b"content-type", b"Application/Problem+JSON; charset=utf-8"),)
"""An error by its media type alone (RFC 9457)."""


@pytest.mark.parametrize(
    ("members", "status"), [({"status": 503}, 503), ({"status": 429}, 429), ({"status": 200}, 502), ({}, 502)]
)
@pytest.mark.parametrize("size", [1, HOLD_BYTES + 1])
def test_a_problem_in_a_200_is_a_failed_attempt_with_the_status_it_names(
    members: dict[str, int], status: int, size: int
) -> None:
    body = json.dumps({"title": "no model", "about": "x" * size, **members}).encode()
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(200, body, PROBLEM)
    bench.calls[1].answer(200, answer())
    assert (client.status, client.body, bench.ledger.fallbacks) == (200, answer(), [("t0", "t1")])
    last = Bench(StepClock(), retry=NO_RETRY)
    _, client = last.begin(stream=False)
    last.calls[0].answer(200, body, PROBLEM)
    assert client.status == status
    assert f"the engine answered {status}: no model" in client.error["message"]


@pytest.mark.parametrize("members", [{"error": None}, {}])
def test_other_json_in_a_200_is_an_answer_whatever_it_has(members: dict[str, None]) -> None:
    """A type of its own that ends in `+json` is no error by its name, and what says no more than a title is its
    client's to judge."""
    body = json.dumps({"title": "no model", **members}).encode()
    bench = Bench(StepClock())
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(200, body, ((b"content-type", b"application/vnd.own+json"),))
    assert (client.status, client.body) == (200, body)


@pytest.mark.parametrize("headers", [JSON, ((b"content-type", b"application/vnd.own+json"),), ()])
@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.SPEECH])
def test_an_empty_200_is_a_failed_attempt(operation: Operation, headers: Any) -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(operation, stream=False)
    bench.calls[0].answer(200, b"", headers)
    bench.calls[1].answer(200, b"", headers)
    assert (client.status, client.error["code"]) == (502, "engine_answer_truncated")
    assert [sum(state.breaker._bad) for state in bench.table] == [1, 0]  # one request counts once


def test_an_empty_text_is_an_answer() -> None:
    """The words of a sound without any."""
    bench = Bench(StepClock())
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(200, b"", ((b"content-type", b"text/plain"),))
    assert (client.status, client.body) == (200, b"")


def test_an_empty_plain_answer_is_an_empty_answer() -> None:
    client, _ = plain(status=204)
    assert (client.status, client.body) == (204, b"")


def test_a_plain_answer_to_a_streamed_request_passes_as_it_is() -> None:
    bench = Bench(StepClock())
    _, client = bench.begin(stream=True)
    bench.calls[0].answer(200, answer())
    assert client.body == answer()


def behind_comments(*reads: bytes) -> tuple[FakeConnection, Bench]:
    """A plain 200 of the last engine, after the first one has sent comments and failed."""
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(PROCESSING)
    bench.calls[0].read(ERROR)
    bench.calls[1].head(200, ((b"content-type", b"Application/JSON; charset=utf-8"),))
    for read in reads:
        bench.calls[1].read(read)
    if bench.calls[1].open:
        bench.calls[1].done()
    return client, bench


@pytest.mark.parametrize("size", [10, HOLD_BYTES + 100_000])
def test_an_error_in_a_plain_200_behind_comments_is_told_in_its_own_words(size: int) -> None:
    client, bench = behind_comments(
        json.dumps({"error": {"message": "y" * size, "type": "invalid_request_error", "code": 400}}).encode()
    )
    told = json.loads(client.body.removeprefix(PROCESSING + b"data: "))["error"]
    assert ("y" * min(size, 500), "400") == (told["message"], told["code"])
    (record,) = bench.ledger.records
    assert (record.status, record.error, record.attempts, client.state) == (200, "engine_400", 2, "answered")
    assert bench.outstanding() == {}


@pytest.mark.parametrize("reads", [[answer()], [answer(HOLD_BYTES + 100_000), b" "], [b"{\n\n}\n\n"], []])
def test_a_document_behind_comments_is_no_answer(reads: list[bytes]) -> None:
    client, bench = behind_comments(*reads)
    told = json.loads(client.body.removeprefix(PROCESSING + b"data: "))["error"]
    (record,) = bench.ledger.records
    assert (record.status, record.attempts, client.state) == (200, 2, "answered")
    assert told["code"] == ("engine_bad_answer" if reads else "engine_answer_truncated")
    assert bench.outstanding() == {}


@pytest.mark.parametrize(
    ("tail", "usage"),
    [
        (
            b'..."usage":{"prompt_tokens":3,"completion_tokens":4}}',
            b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}',
        ),
        (b'"usage":{"a":1},"data":[],"usage":{"b":2}}', b'{"usage":{"b":2}}'),
        (b"no such thing", b"{}"),
    ],
)
def test_the_last_usage_of_a_tail_is_taken(tail: bytes, usage: bytes) -> None:
    assert usage_in(tail) == usage


def test_the_oracle_reads_what_the_tests_write() -> None:
    assert parsed(chunk() + DONE) == [("message", chunk()[6:-2].decode()), ("message", "[DONE]")]
