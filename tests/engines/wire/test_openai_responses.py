"""Responses events, of OpenAI and of vLLM."""

from __future__ import annotations

import json

import pytest

from engines.model import Usage
from engines.wire.dialect import NOTHING, ApiError, Finding
from engines.wire.openai_responses import DIALECT
from tests.engines.wire.frames import Json, frame

USAGE = {
    "input_tokens": 40,
    "input_tokens_details": {"cached_tokens": 32},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 49,
}
COUNTED = Usage(40, 9, cached_tokens=32, reasoning_tokens=4)


def ending(kind: str, **members: object) -> bytes:
    response = {"id": "resp_1", "object": "response", "output": [], **members}
    return frame({"type": kind, "sequence_number": 9, "response": response}, name=kind)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "response.created", "response": {"status": "in_progress", "usage": None}},
        {"type": "response.output_text.delta", "delta": "response.completed", "item_id": "m"},
        {"type": "response.output_text.delta", "delta": '{"type":"error","message":"no"}'},
        {"type": "response.output_text.done", "text": "whole"},
        {"type": "response.function_call_arguments.delta", "delta": '{"error":'},
    ],
    ids=lambda value: str(value["type"]),
)
def test_events_on_the_way_say_nothing(value: Json) -> None:
    assert DIALECT.reader().read(frame(value, name=value["type"])) == NOTHING


def test_a_completed_response_ends_the_stream_with_its_usage() -> None:
    event = ending("response.completed", status="completed", usage=USAGE)
    assert DIALECT.reader().read(event) == Finding(usage=COUNTED, finish_reason="stop", ends=True)


@pytest.mark.parametrize(
    ("kind", "reason", "finish"),
    [
        ("response.incomplete", {"reason": "max_output_tokens"}, "length"),
        ("response.incomplete", {"reason": "content_filter"}, "content_filter"),
        ("response.incomplete", None, "length"),
        ("response.completed", {"reason": "max_output_tokens"}, "length"),
        ("response.completed", None, "length"),
    ],
)
def test_an_answer_cut_short_says_why_whatever_its_event_is_called(kind: str, reason: Json | None, finish: str) -> None:
    event = ending(kind, status="incomplete", incomplete_details=reason, usage=USAGE)
    assert DIALECT.reader().read(event) == Finding(usage=COUNTED, finish_reason=finish, ends=True)


def test_a_failed_response_is_an_error_and_no_end() -> None:
    event = ending("response.failed", status="failed", error={"code": "server_error", "message": "it broke"})
    assert DIALECT.reader().read(event) == Finding(error="it broke")
    assert DIALECT.reader().read(ending("response.failed")) == Finding(error="the engine reported an error")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (frame({"type": "error", "code": "x", "message": "no", "param": None}, name="error"), "no"),
        (frame({"type": "error"}), "the engine reported an error"),
        (frame({"type": "error", "message": None}, "spaced"), "the engine reported an error"),
    ],
)
def test_an_error_event_is_found(event: bytes, message: str) -> None:
    assert DIALECT.reader().may_matter(event)
    assert DIALECT.reader().read(event) == Finding(error=message)


def test_the_format_has_no_done() -> None:
    assert (DIALECT.end_marker, DIALECT.reader().read(b"data: [DONE]\n\n")) == (b"", NOTHING)


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        ({"status": "completed", "usage": USAGE}, Finding(usage=COUNTED, finish_reason="stop", ends=True)),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": None},
            Finding(finish_reason="length", ends=True),
        ),
        ({"status": "failed", "error": {"message": "no"}}, Finding(error="no")),
        ({"status": "queued"}, Finding(finish_reason="queued")),
        ({}, NOTHING),
    ],
)
def test_a_plain_answer_says_how_it_ended(answer: Json, finding: Finding) -> None:
    assert DIALECT.read_answer(json.dumps(answer).encode()) == finding


def test_our_error_event_has_the_shape_of_the_formats_own() -> None:
    event = DIALECT.reader().error_event(ApiError("it broke", "server_error", "engine_answer_truncated"))
    shape = {"type": "error", "code": "engine_answer_truncated", "message": "it broke", "param": None}
    assert event == frame(shape, name="error")


def test_our_plain_errors_are_openais() -> None:
    body = json.loads(DIALECT.error_body(ApiError("no", "server_error"), "req-1"))
    assert body == {"error": {"message": "no", "type": "server_error", "param": None, "code": None}}
