"""Responses events, of OpenAI and of vLLM."""

from __future__ import annotations

import json

import pytest

from engines.model import OUTPUT, Parts, Usage
from engines.wire.dialect import NOTHING, ApiError, Dialect, Finding
from engines.wire.openai_responses import DIALECT, STORED
from tests.engines.wire.frames import ODD_ERRORS, Json, frame

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
    assert DIALECT.reader().read(event) == Finding(usage=COUNTED, finish_reason="stop", ends=True, response_id="resp_1")


def test_the_end_says_which_answer_it_is_and_at_which_tier() -> None:
    usage = USAGE | {"input_tokens_details": {"cached_tokens": 32, "audio_tokens": 2}}
    event = ending("response.completed", status="completed", usage=usage, model="gpt-x", service_tier="priority")
    finding = DIALECT.reader().read(event)
    assert finding.usage == Usage(40, 9, 32, 0, 4, tier="priority", parts=Parts(2))
    assert finding.said is not None
    assert (finding.said.id, finding.said.model) == ("resp_1", "gpt-x")


@pytest.mark.parametrize("number", ["1e400", "1" * 5000])
def test_a_number_too_large_for_any_loses_nothing_else(number: str) -> None:
    body = f'{{"status":"completed","usage":{{"input_tokens":4,"output_tokens":{number}}}}}'
    finding = DIALECT.read_answer(body.encode())
    assert (finding.usage, finding.finish_reason) == (Usage(4, 0, unsaid=OUTPUT), "stop")


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
    assert DIALECT.reader().read(event) == Finding(usage=COUNTED, finish_reason=finish, ends=True, response_id="resp_1")


def test_a_failed_response_is_an_error_and_no_end() -> None:
    event = ending("response.failed", status="failed", error={"code": "server_error", "message": "it broke"})
    assert DIALECT.reader().read(event) == Finding(error="it broke", error_status=500)
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
    finding = DIALECT.reader().read(event)
    assert (finding.error, finding.error_status) == (message, 0)


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
        ({"error": {"message": "no", "code": "rate_limit_exceeded"}}, Finding(error="no", error_status=429)),
        ({"status": "queued"}, Finding(finish_reason="queued")),
        ({"status": "queued", "id": "resp_2"}, Finding(finish_reason="queued", response_id="resp_2")),
        ({"status": "queued", "id": "../metrics"}, Finding(finish_reason="queued")),
        ({}, NOTHING),
    ],
)
def test_a_plain_answer_says_how_it_ended(answer: Json, finding: Finding) -> None:
    assert DIALECT.read_answer(json.dumps(answer).encode()) == finding


@pytest.mark.parametrize(("body", "message", "status"), ODD_ERRORS)
@pytest.mark.parametrize("dialect", [DIALECT, STORED])
def test_an_error_of_another_format_in_a_200_is_one(dialect: Dialect, body: bytes, message: str, status: int) -> None:
    assert dialect.read_answer(body) == Finding(error=message, error_status=status)


def test_our_error_event_has_the_shape_of_the_formats_own() -> None:
    event = DIALECT.reader().error_event(ApiError("it broke", "server_error", "engine_answer_truncated"))
    said = {"code": "engine_answer_truncated", "message": "it broke", "param": None}
    shape = {"type": "error", **said, "sequence_number": 0, "error": {"type": "server_error", **said}}
    assert event == frame(shape, name="error")


def delta(number: int, text: str = "a") -> bytes:
    kind = "response.output_text.delta"
    return frame({"type": kind, "delta": text, "sequence_number": number, "item_id": "m"}, name=kind)


def number_of(event: bytes) -> int:
    number = json.loads(event.split(b"data: ")[1])["sequence_number"]
    assert isinstance(number, int)
    return number


@pytest.mark.parametrize("read", [False, True])
def test_our_error_event_has_the_next_sequence_number(read: bool) -> None:
    reader = DIALECT.reader()
    for block in (delta(7), delta(8) + delta(9, 'x"sequence_number":44,'), b": ping\n\n"):
        if read:
            reader.read(block)
        else:
            assert not reader.may_matter(block)
    event = reader.error_event(ApiError("it broke", "server_error"))
    assert number_of(event) == 10


@pytest.mark.parametrize(
    ("sent", "restated"),
    [
        (
            {"type": "error", "code": "x", "message": "no", "param": "p"},
            {"type": "server_error", "code": "x", "message": "no", "param": "p"},
        ),
        ({"type": "error"}, {"type": "server_error", "message": "the engine reported an error"}),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "no"}, {"type": "rate_limit_error"}),
        ({"error": {"message": "no", "type": "InternalServerError", "code": 500}}, {"type": "InternalServerError"}),
        ({"type": "error", "error": {"message": "no", "type": "api_error"}}, {"type": "api_error", "message": "no"}),
    ],
)
def test_an_error_event_of_an_engine_is_completed(sent: Json, restated: Json) -> None:
    reader = DIALECT.reader()
    assert not reader.may_matter(delta(3))
    assert reader.may_matter(frame(sent, name="error"))
    event = reader.read(frame(sent, name="error")).restated
    told = json.loads(event.removeprefix(b"event: error\ndata: "))
    assert (told["type"], told["sequence_number"]) == ("error", 4)
    assert told["error"] | restated == told["error"]
    assert {key: told[key] for key in ("code", "message", "param")} == {
        key: told["error"][key] for key in ("code", "message", "param")
    }


def test_an_error_event_that_is_complete_passes_as_it_is() -> None:
    error = {"type": "server_error", "code": "x", "message": "no", "param": None}
    sent = {"type": "error", "code": "x", "message": "no", "param": None, "sequence_number": 3, "error": error}
    assert DIALECT.reader().read(frame(sent, name="error")) == Finding(error="no", error_status=500)


def test_a_number_that_the_engine_gave_its_error_stays() -> None:
    sent = {"type": "error", "code": "x", "message": "no", "param": None, "sequence_number": 33}
    assert number_of(DIALECT.reader().read(frame(sent)).restated) == 33


def test_our_plain_errors_are_openais() -> None:
    body = json.loads(DIALECT.error_body(ApiError("no", "server_error"), "req-1"))
    assert body == {"error": {"message": "no", "type": "server_error", "param": None, "code": None}}


@pytest.mark.parametrize("members", [{"input_tokens_details": []}, {"output_tokens": 9.0, "cost": "x"}])
def test_one_odd_member_of_usage_loses_nothing_else(members: Json) -> None:
    usage = {"input_tokens": 40, "output_tokens": 9} | members
    event = ending("response.completed", status="completed", usage=usage)
    assert DIALECT.reader().read(event) == Finding(
        usage=Usage(40, 9), finish_reason="stop", ends=True, response_id="resp_1"
    )
    body = json.dumps({"status": "completed", "usage": usage}).encode()
    assert DIALECT.read_answer(body).usage == Usage(40, 9)


def test_the_first_event_tells_the_id_and_the_others_are_not_read_for_it() -> None:
    reader = DIALECT.reader()
    created = frame({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}, name="x")
    assert reader.may_matter(created)
    assert reader.read(created) == Finding(response_id="resp_1")
    assert not reader.may_matter(created)
    assert not DIALECT.reader().may_matter(delta(1))


def test_what_is_read_again_of_a_response_counts_for_nothing() -> None:
    whole = {"id": "resp_1", "status": "completed", "usage": USAGE}
    failed = {"id": "resp_1", "status": "failed", "error": {"message": "it broke"}}
    for answer in (whole, failed, {"id": "resp_1", "deleted": True}):
        assert STORED.read_answer(json.dumps(answer).encode()) == NOTHING
    assert STORED.read_answer(b'{"error": {"message": "no", "code": 404}}').error == "no"
    reader = STORED.reader()
    assert reader.contents(delta(1)) == 0
    assert reader.read(delta(1)) == NOTHING
    assert reader.read(ending("response.completed", **whole)) == Finding(finish_reason="stop", ends=True)
    assert STORED.reader().read(ending("response.failed", **failed)) == Finding(finish_reason="failed", ends=True)
    lost = frame({"type": "error", "code": "x", "message": "no", "param": None}, name="error")
    assert STORED.reader().read(lost).error == "no"
