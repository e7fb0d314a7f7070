"""The text of an answer is the same, whatever the format, and whether it came whole or in events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.wire.texts import answer_text, said_in, spoken_bytes, whole


def event(**members: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(members).encode()


def stream_text(*events: bytes) -> str:
    return whole([piece for one in events for piece in said_in(one)])


def chat(delta: dict[str, Any], index: int = 0) -> bytes:
    return event(choices=[{"index": index, "delta": delta, "finish_reason": None}])


CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":'}}
MORE = {"index": 0, "function": {"arguments": '"Bern"}'}}
CALLED = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}

STREAMS = {
    "chat": (
        chat({"role": "assistant", "content": ""}),
        chat({"reasoning_content": "hm"}),
        chat({"content": "It "}),
        chat({"content": "rains."}),
        chat({"tool_calls": [CALL]}),
        chat({"tool_calls": [MORE]}),
        event(choices=[], usage={"prompt_tokens": 1}),
    ),
    "completions": (
        event(choices=[{"index": 0, "text": "It "}]),
        event(choices=[{"index": 0, "text": "rains.\nweather "}]),
        event(choices=[{"index": 0, "text": '{"city":"Bern"}', "finish_reason": "stop"}]),
    ),
    "messages": (
        event(type="message_start", message={"content": [], "usage": {"input_tokens": 1}}),
        event(type="content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
        event(type="content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        event(type="content_block_start", index=1, content_block={"type": "text", "text": ""}),
        event(type="content_block_delta", index=1, delta={"type": "text_delta", "text": "It rains."}),
        event(type="content_block_start", index=2, content_block={"type": "tool_use", "name": "weather", "input": {}}),
        event(type="content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"city":'}),
        event(type="content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '"Bern"}'}),
        event(type="message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 2}),
    ),
    "responses": (
        event(type="response.created", response={"id": "r", "output": []}),
        event(type="response.output_text.delta", output_index=0, content_index=0, delta="It "),
        event(type="response.output_text.delta", output_index=0, content_index=0, delta="rains."),
        event(type="response.output_text.done", output_index=0, content_index=0, text="It rains."),
        event(type="response.output_item.added", output_index=1, item={"type": "function_call", "name": "weather"}),
        event(type="response.function_call_arguments.delta", output_index=1, delta='{"city":"Bern"}'),
        event(type="response.completed", response={"output": [{"type": "message", "content": []}]}),
    ),
}
ANSWERS: dict[str, Any] = {
    "chat": {"choices": [{"index": 0, "message": {"content": "It rains.", "tool_calls": [CALLED]}}]},
    "completions": {"choices": [{"index": 0, "text": 'It rains.\nweather {"city":"Bern"}'}]},
    "messages": {
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "It rains."},
            {"type": "tool_use", "name": "weather", "input": {"city": "Bern"}},
        ]
    },
    "responses": {
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": "It rains."}]},
            {"type": "function_call", "name": "weather", "arguments": '{"city":"Bern"}'},
        ]
    },
}
TEXT = 'It rains.\nweather {"city":"Bern"}'


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_says_what_its_answer_says(name: str) -> None:
    assert stream_text(*STREAMS[name]) == TEXT
    assert answer_text(json.dumps(ANSWERS[name], separators=(",", ":")).encode()) == TEXT


def test_several_choices_are_told_one_after_the_other() -> None:
    assert stream_text(chat({"content": "a"}), chat({"content": "x"}, 1), chat({"content": "b"})) == "ab\nx"


def test_what_is_refused_is_text_too() -> None:
    assert stream_text(chat({"refusal": "I "}), chat({"refusal": "will not."})) == "I will not."
    assert answer_text(b'{"choices": [{"message": {"content": null, "refusal": "no"}}]}') == "no"
    part = {"type": "refusal", "refusal": "no"}
    assert answer_text(json.dumps({"output": [{"type": "message", "content": [part]}]}).encode()) == "no"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"data": [{"embedding": [0.1]}]}', b'{"choices": 3}', b'{"content": "text"}', b"\xff"]
)
def test_what_has_no_text_or_cannot_be_read_says_nothing(body: bytes) -> None:
    assert answer_text(body) == ""
    assert said_in(b"data: %b\n\n" % body) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=20), max_size=8))
def test_however_an_answer_is_cut_into_pieces_its_text_is_their_sum(pieces: list[str]) -> None:
    assert stream_text(*(chat({"content": piece}) for piece in pieces)) == "".join(pieces)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_left(data: bytes) -> None:
    answer_text(data)
    said_in(data)
    said_in(b"data: {" + data)


def test_what_a_tool_is_given_may_be_no_utf_8() -> None:
    body = b'{"content": [{"type": "tool_use", "name": "find", "input": {"q": "\xff"}}]}'
    assert answer_text(body) == 'find {"q": "\ufffd"}'


def choice(**message: Any) -> dict[str, Any]:
    return {"id": "x" * 99, "choices": [{"index": 0, "message": {"role": "assistant", **message}}]}


@pytest.mark.parametrize(
    ("answer", "made"),
    [
        (choice(content="four"), 4),
        (choice(content="für"), 4),
        (choice(content=None, reasoning_content="hm", refusal="no"), 4),
        (choice(content=[{"type": "text", "text": "four"}, {"type": "image_url", "image_url": {"url": "x" * 99}}]), 4),
        (choice(tool_calls=[{"id": "c" * 99, "function": {"name": "weather", "arguments": '{"a":1}'}}]), 7),
        ({"content": [{"type": "thinking", "thinking": "hm", "signature": "x" * 99}, {"text": "ab"}]}, 4),
        ({"content": [{"type": "tool_use", "id": "t" * 99, "input": {"city": "Bern"}}]}, 15),
        ({"output": [{"type": "reasoning", "summary": [{"text": "hm"}]}, {"content": [{"text": "ab"}]}]}, 4),
        ({"text": "four"}, 4),
        ({"data": [{"b64_json": "x" * 99}]}, 0),
        ([1], 0),
    ],
)
def test_what_a_model_has_made_is_counted_and_nothing_around_it(answer: Any, made: int) -> None:
    assert spoken_bytes(json.dumps(answer, ensure_ascii=False).encode()) == made


@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b'{"choices":' + b"[" * 100_000])
def test_of_what_cannot_be_read_nothing_is_counted(body: bytes) -> None:
    assert spoken_bytes(body) == 0


def test_a_deep_answer_is_counted_all_the_same() -> None:
    assert spoken_bytes(b'{"content":' + b"[" * 500 + b'"ab"' + b"]" * 500 + b"}") == 2
