"""Messages events, of Anthropic and of vLLM."""

from __future__ import annotations

import json

import pytest

from engines.model import INPUT, OUTPUT, Parts, Usage
from engines.wire.anthropic_messages import COUNTING, DIALECT
from engines.wire.dialect import NOTHING, ApiError, Dialect, Finding
from tests.engines.wire.frames import ODD_ERRORS, Json, frame


def event(kind: str, **members: object) -> bytes:
    return frame({"type": kind, **members}, name=kind)


def start(**usage: object) -> bytes:
    message: Json = {"id": "msg_1", "role": "assistant", "content": [], "stop_reason": None, "usage": usage}
    return event("message_start", message=message)


@pytest.mark.parametrize(
    "sent",
    [
        event("ping"),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": '"type":"message_stop"'}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "event: error\n\n"}),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"error":1}'}),
        event("content_block_stop", index=0),
    ],
)
def test_content_says_nothing_else(sent: bytes) -> None:
    assert DIALECT.reader().read(sent) == NOTHING


def test_cache_reads_and_writes_are_added_to_the_input() -> None:
    sent = start(input_tokens=10, cache_creation_input_tokens=3, cache_read_input_tokens=100, output_tokens=1)
    assert DIALECT.reader().read(sent).usage == Usage(113, 1, cached_tokens=100, cache_write_tokens=3, unsaid=OUTPUT)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({}, None),
        ({"input_tokens": None, "output_tokens": None, "cache_read_input_tokens": None}, None),
        ({"input_tokens": 4, "output_tokens": 0}, Usage(4, 0, unsaid=OUTPUT)),
        (
            {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5}},
            Usage(0, 9, reasoning_tokens=5, unsaid=INPUT | OUTPUT),
        ),
        ({"output_tokens": 9, "output_tokens_details": None}, Usage(0, 9, unsaid=INPUT | OUTPUT)),
        (
            {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}},
            Usage(9, 0, cache_write_tokens=9, parts=Parts(cache_write_1h_tokens=4), unsaid=INPUT | OUTPUT),
        ),
        ({"input_tokens": 3, "cache_creation": {"ephemeral_5m_input_tokens": 0}}, Usage(3, 0, unsaid=OUTPUT)),
        ({"input_tokens": 3, "service_tier": "batch"}, Usage(3, 0, tier="batch", unsaid=OUTPUT)),
        ({"input_tokens": 3, "service_tier": "standard", "speed": "fast"}, Usage(3, 0, tier="fast", unsaid=OUTPUT)),
        (
            {"input_tokens": 3, "service_tier": "standard", "speed": "standard"},
            Usage(3, 0, tier="standard", unsaid=OUTPUT),
        ),
    ],
)
def test_the_first_counts_of_a_stream_are_not_all_of_its_output(usage: Json, counted: Usage | None) -> None:
    assert DIALECT.reader().read(start(**usage)).usage == counted


@pytest.mark.parametrize("number", ["1e400", "1" * 5000])
def test_a_number_too_large_for_any_loses_nothing_else(number: str) -> None:
    usage = f'{{"input_tokens":4,"output_tokens":{number},"cache_read_input_tokens":3}}'
    finding = DIALECT.read_answer(f'{{"stop_reason":"end_turn","usage":{usage}}}'.encode())
    assert (finding.usage, finding.finish_reason) == (Usage(7, 0, cached_tokens=3, unsaid=OUTPUT), "stop")


def test_the_first_event_says_which_answer_it_is() -> None:
    said = DIALECT.reader().read(start(input_tokens=1)).said
    assert said is not None
    assert said.id == "msg_1"


def test_the_two_reports_of_a_stream_make_one_usage() -> None:
    first = DIALECT.reader().read(start(input_tokens=10, cache_read_input_tokens=90, output_tokens=1)).usage
    last = (
        DIALECT.reader()
        .read(event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 25}))
        .usage
    )
    assert first is not None
    assert last is not None
    assert first.merged(last) == Usage(100, 25, cached_tokens=90)


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
        (None, ""),
    ],
)
def test_stop_reasons_in_openais_words(stop_reason: str | None, finish: str) -> None:
    sent = event("message_delta", delta={"stop_reason": stop_reason, "stop_sequence": None}, usage={"output_tokens": 2})
    assert DIALECT.reader().read(sent) == Finding(usage=Usage(0, 2, unsaid=INPUT), finish_reason=finish)


def test_message_stop_ends_the_stream() -> None:
    assert DIALECT.reader().read(event("message_stop")) == Finding(ends=True)


def test_openais_end_marker_is_not_ours() -> None:
    assert DIALECT.reader().read(b"data: [DONE]\n\n") == NOTHING


@pytest.mark.parametrize(
    ("error", "message", "status"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, "Overloaded", 529),
        ({"type": "rate_limit_error", "message": "slower"}, "slower", 429),
        ({"type": "BadRequestError", "message": "too long"}, "too long", 400),
        ({"type": "api_error"}, "the engine reported an error", 500),
        (None, "the engine reported an error", 0),
    ],
)
def test_an_error_event_is_found(error: Json | None, message: str, status: int) -> None:
    sent = event("error", error=error)
    assert DIALECT.reader().may_matter(sent)
    assert DIALECT.reader().read(sent) == Finding(error=message, error_status=status)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b'data: {"error":{"message":"no","type":"InternalServerError","code":500}}\n\n', "api_error"),
        (b'data: {"error":{"message":"no","code":429}}\r\n\r\n', "rate_limit_error"),
        (b'data: {"type":"error","error":{"type":"overloaded_error","message":"no"}}\n\n', "overloaded_error"),
        (b'event: error\ndata: {"error":{"message":"no","code":529}}\n\n', "overloaded_error"),
        (b'data: {"error":{"message":"no","type":[]}}\n\n', "api_error"),
        (b'event: message\ndata: {"error":"no"}\n\n', "api_error"),
        (b'event: error\ndata: [{"error":{"message":"no","status":"INVALID_ARGUMENT"}}]\n\n', "invalid_request_error"),
    ],
)
def test_an_error_that_sdks_would_pass_over_is_told_as_anthropic_does(sent: bytes, kind: str) -> None:
    reader = DIALECT.reader()
    assert reader.may_matter(sent)
    assert reader.read(sent).restated == event("error", error={"type": kind, "message": "no"})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_error_event_of_anthropics_passes_as_it_came(end: str) -> None:
    sent = event("error", error={"type": "overloaded_error", "message": "no"}).replace(b"\n", end.encode())
    finding = DIALECT.reader().read(sent)
    assert (finding.error, finding.restated) == ("no", b"")


def test_a_plain_answer_is_read_like_a_stream() -> None:
    answer = {
        "type": "message",
        "content": [{"type": "text", "text": "x"}],
        "stop_reason": "max_tokens",
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 3},
    }
    finding = Finding(usage=Usage(7, 3, cached_tokens=2), finish_reason="length")
    assert DIALECT.read_answer(json.dumps(answer).encode()) == finding


@pytest.mark.parametrize("dialect", [DIALECT, COUNTING])
@pytest.mark.parametrize(("body", "message", "status"), ODD_ERRORS)
def test_an_error_of_another_format_in_a_200_is_one(dialect: Dialect, body: bytes, message: str, status: int) -> None:
    assert dialect.read_answer(body) == Finding(error=message, error_status=status)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"usage":null,"stop_reason":null}', b"\xff"])
def test_an_answer_that_says_nothing_is_no_failure(body: bytes) -> None:
    assert DIALECT.read_answer(body) == NOTHING


def test_our_errors_have_anthropics_shape_and_types() -> None:
    known = ApiError("slow down", "rate_limit_error")
    assert DIALECT.reader().error_event(known) == event(
        "error", error={"type": "rate_limit_error", "message": "slow down"}
    )
    unknown = ApiError("it broke", "server_error", "engine_answer_truncated")
    assert json.loads(DIALECT.error_body(unknown, "req-1")) == {
        "type": "error",
        "error": {"type": "api_error", "message": "it broke"},
        "request_id": "req-1",
    }


def test_an_engines_error_of_another_format_is_named_with_its_type() -> None:
    said = json.loads(DIALECT.named_error(b'{"error": {"message": "no", "type": "BadRequestError"}}', "req-1"))
    assert said == {"type": "error", "error": {"message": "no", "type": "BadRequestError"}, "request_id": "req-1"}


ODD: list[Json] = [{"output_tokens_details": []}, {"output_tokens": "9", "cache_read_input_tokens": "x"}]


@pytest.mark.parametrize("members", ODD)
def test_one_odd_member_of_usage_loses_nothing_else(members: Json) -> None:
    usage = {"input_tokens": 40, "output_tokens": 9} | members
    sent = frame({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
    assert DIALECT.reader().read(sent) == Finding(usage=Usage(40, 9), finish_reason="stop")
    body = json.dumps({"type": "message", "stop_reason": "end_turn", "usage": usage}).encode()
    assert DIALECT.read_answer(body).usage == Usage(40, 9)
