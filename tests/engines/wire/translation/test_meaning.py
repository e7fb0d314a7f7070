"""What would be lost or refused on the way to one provider, though both formats can say it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.wire.anthropic_messages.codec import INGRESS as MESSAGES
from engines.wire.bedrock_converse.stream_decoder import decode_answer as converse_answer
from engines.wire.events import STOP, Counted, Finish, Refused, Text
from engines.wire.features import asked
from engines.wire.openai_chat.codec import INGRESS as CHAT
from engines.wire.request import ChatRequest, ReasoningWish, TextPart, ThoughtPart, Tool, ToolChoice, Turn, Unreadable
from engines.wire.translation import EGRESS

CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "array", "items": {"type": "string"}}},
    "required": ["a"],
    "additionalProperties": False,
}


def told(format: str, request: ChatRequest, model: str = "m") -> Any:
    egress = EGRESS[format]
    return json.loads(egress.encode_request(request, model, egress.takes))


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (CLOSED | {"properties": {"a": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
        ({"anyOf": [CLOSED, {"type": "null"}]}, None),
        (CLOSED | {"additionalProperties": True}, None),
        (CLOSED | {"required": []}, None),
        (CLOSED | {"minProperties": 1}, None),
        (CLOSED | {"properties": {"a": {"type": "object", "properties": {"b": {}}}}}, None),
        ({"type": "array", "items": {"type": "object", "properties": {}}}, None),
        (CLOSED | {"properties": {"a": True}}, None),
    ],
)
def test_a_schema_of_claudes_client_is_held_to_where_openai_can(schema: dict[str, Any], strict: bool | None) -> None:
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }
    form = told("openai_chat", MESSAGES.decode_request(json.dumps(body).encode()))["response_format"]
    assert strict == form["json_schema"].get("strict")


@pytest.mark.parametrize("format", ["anthropic_messages", "bedrock_converse", "gemini", "cohere", "mistral", "ai21"])
def test_a_system_alone_is_asked_as_its_users(format: str) -> None:
    body = told(
        format, ChatRequest("", "m", [Turn("system", [TextPart("be brief")]), Turn("system", [TextPart("go")])])
    )
    last = body["contents" if format == "gemini" else "messages"][-1]
    assert ("user", True) == (last["role"], "go" in json.dumps(last))
    assert "be brief" in json.dumps(body)
    assert {"system"} == {
        message["role"]
        for message in told("openai_chat", ChatRequest("", "m", [Turn("system", [TextPart("go")])]))["messages"]
    }


@pytest.mark.parametrize(
    ("format", "chunk"),
    [
        ("mistral", {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}),
        ("cohere", {"type": "thinking", "thinking": "hm"}),
    ],
)
def test_what_was_thought_goes_back_to_who_is_to_think(format: str, chunk: dict[str, Any]) -> None:
    turns = [Turn("user", [TextPart("x")]), Turn("assistant", [ThoughtPart("hm"), TextPart("y")])]
    turns.append(Turn("user", [TextPart("z")]))
    for wish, content in (("high", [chunk, {"type": "text", "text": "y"}]), ("none", "y"), ("", "y")):
        request = ChatRequest("", "m", turns, reasoning=ReasoningWish(wish) if wish else None)
        assert content == told(format, request)["messages"][1]["content"]


def test_an_hour_in_the_cache_is_counted_as_one() -> None:
    usage = {"inputTokens": 1, "outputTokens": 1, "cacheWriteInputTokens": 30}
    usage["cacheDetails"] = [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}]  # type: ignore[assignment]
    answer = {"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": "end_turn", "usage": usage}
    [counted] = [one.usage for one in converse_answer(json.dumps(answer).encode()) if isinstance(one, Counted)]
    assert counted.parts is not None
    assert (31, 30, 20) == (counted.input_tokens, counted.cache_write_tokens, counted.parts.cache_write_1h_tokens)


def test_the_time_of_a_mark_goes_to_bedrock() -> None:
    marked = Turn("user", [TextPart("x", {"type": "ephemeral", "ttl": "1h"}), TextPart("y", {"type": "ephemeral"})])
    points = [
        block["cachePoint"]
        for block in told("bedrock_converse", ChatRequest("", "m", [marked]))["messages"][0]["content"]
        if "cachePoint" in block
    ]
    assert [{"type": "default", "ttl": "1h"}, {"type": "default"}] == points


def test_a_refusal_is_a_text_apart_from_the_answer() -> None:
    said = [Text("a"), Text("b"), Refused("c"), Refused("d"), Finish(STOP)]
    texts = [block["text"] for block in json.loads(MESSAGES.encode_answer(said, "m", 1, "x"))["content"]]
    encoder = MESSAGES.stream_encoder("m", 1, "x")
    frames = b"".join([*[encoder.write(event) for event in said], *encoder.closing(None)])
    assert ["ab", "cd"] == texts
    assert 2 == frames.count(b"event: content_block_start")
    assert frames.count(b'"index":1,"delta"') == 2


def test_a_sound_that_a_tool_answered_is_content_that_is_not_left_out() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [sound]},
    ]
    names = asked(CHAT.decode_request(json.dumps({"model": "m", "messages": messages}).encode()))
    assert "messages.input_audio" in names


@pytest.mark.parametrize(
    ("choice", "names", "word", "strict"),
    [
        (ToolChoice("named", "b"), ["b"], "REQUIRED", None),
        (ToolChoice("named", "a"), ["a"], "REQUIRED", True),
        (ToolChoice("required"), ["a", "b"], "REQUIRED", True),
        (ToolChoice("none"), ["a", "b"], "NONE", True),
        (ToolChoice("auto"), ["a", "b"], None, True),
        (None, ["a", "b"], None, True),
    ],
)
def test_cohere_is_sent_a_named_tool_alone(
    choice: ToolChoice | None, names: list[str], word: str | None, strict: bool | None
) -> None:
    tools = [Tool("a", "", {"type": "object"}, strict=True), Tool("b", "", {"type": "object"})]
    body = told("cohere", ChatRequest("", "m", [Turn("user", [TextPart("x")])], tools, choice))
    assert names == [tool["function"]["name"] for tool in body["tools"]]
    assert (word, strict) == (body.get("tool_choice"), body.get("strict_tools"))


def test_a_choice_of_none_of_its_tools_is_no_request_to_cohere() -> None:
    request = ChatRequest("", "m", [Turn("user", [TextPart("x")])], [Tool("a")], ToolChoice("named", "b"))
    with pytest.raises(Unreadable, match="names none of the tools") as refused:
        told("cohere", request)
    assert refused.value.param == "tool_choice"
