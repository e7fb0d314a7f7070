"""Answers that are nearly what their format says: what is odd in them costs nothing else, and no call is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.eventstream import encode
from engines.model import OUTPUT, Usage
from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.bedrock_converse import codec as bedrock
from engines.wire.codec import Egress
from engines.wire.cohere import codec as cohere
from engines.wire.events import Counted, Event, Failed, Finish, Reasoning, Start, Text, ToolArgs, ToolStart
from engines.wire.gemini import codec as gemini
from engines.wire.openai_chat import codec as openai_chat
from engines.wire.request import ChatRequest, Part, TextPart, ThoughtPart, Turn
from tests.engines.wire.translation.streams import block, call, chunk, data, decoded, delta, named, stop

ODD: list[Any] = [-1, 1e300, 2**60, "many", 0.5, {}, None, True]
EGRESSES: list[Egress] = [openai_chat.EGRESS, anthropic_messages.EGRESS, gemini.EGRESS, cohere.EGRESS, bedrock.EGRESS]


def _answer(egress: Egress, count: Any) -> dict[str, Any]:
    """A plain answer that took three tokens, and made `count`."""
    if egress is gemini.EGRESS:
        usage = {"promptTokenCount": 3, "candidatesTokenCount": count}
        candidate = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}
        return {"candidates": [candidate], "usageMetadata": usage}
    if egress is cohere.EGRESS:
        usage = {"billed_units": {"input_tokens": 3.0, "output_tokens": count}}
        return {"id": "x", "message": {"content": "a"}, "finish_reason": "COMPLETE", "usage": usage}
    if egress is bedrock.EGRESS:
        usage = {"inputTokens": 3, "outputTokens": count}
        return {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn", "usage": usage}
    if egress is anthropic_messages.EGRESS:
        content = [{"type": "text", "text": "a"}]
        usage = {"input_tokens": 3, "output_tokens": count}
        return {"type": "message", "content": content, "stop_reason": "end_turn", "usage": usage}
    choice = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": count}}


@pytest.mark.parametrize("egress", EGRESSES, ids=["chat", "messages", "gemini", "cohere", "bedrock"])
@pytest.mark.parametrize("count", ODD, ids=repr)
def test_an_odd_count_is_unknown_and_the_answer_stays(egress: Egress, count: Any) -> None:
    said = egress.decode_answer(json.dumps(_answer(egress, count)).encode())
    assert Text("a") in said
    assert Finish("stop") in said
    [counted] = [event for event in said if isinstance(event, Counted)]
    assert counted.usage == Usage(3, 0, unsaid=OUTPUT)


@pytest.mark.parametrize("count", ODD, ids=repr)
def test_an_odd_count_of_bedrocks_stream_is_unknown_and_the_stream_stays(count: Any) -> None:
    told = json.dumps({"usage": {"inputTokens": 3, "outputTokens": count}}).encode()
    event = encode({":message-type": "event", ":event-type": "metadata"}, told)
    assert [Counted(Usage(3, 0, unsaid=OUTPUT))] == list(bedrock.EGRESS.stream_decoder().read(event))


def _same(data_of_nulls: bytes, egress: Egress) -> list[Event]:
    said = decoded(egress.stream_decoder(), [data_of_nulls])
    assert not [event for event in said if isinstance(event, Failed)]
    return said


def test_nulls_are_as_good_as_nothing() -> None:
    message = {"id": None, "model": None, "usage": None}
    messages = named("message_start", message=message) + block(
        0, type="thinking", thinking=None, signature=None, text=None, name=None
    )
    assert _same(messages, anthropic_messages.EGRESS) == [Start("", "")]
    part = {"text": "a", "thought": None, "thoughtSignature": None, "inlineData": None}
    response = data(responseId=None, modelVersion=None, candidates=[{"index": None, "content": {"parts": [part]}}])
    assert _same(response, gemini.EGRESS) == [Start("", ""), Text("a")]
    told = data(id=None, choices=[{"index": None, "delta": {"content": "a", "function_call": None}}], usage=None)
    assert _same(told, openai_chat.EGRESS) == [Start("", ""), Text("a")]


def _calls(stream: bytes) -> list[Event]:
    said = decoded(openai_chat.EGRESS.stream_decoder(), [stream])
    return [event for event in said if isinstance(event, (ToolStart, ToolArgs))]


def test_calls_that_share_an_index_are_as_many_as_their_ids() -> None:
    stream = chunk(call(0, '{"a":1}', "x", "f")) + chunk(call(0, '{"b":2}', "y", "g"))
    assert _calls(stream) == [
        ToolStart(0, "x", "f"),
        ToolArgs(0, '{"a":1}'),
        ToolStart(1, "y", "g"),
        ToolArgs(1, '{"b":2}'),
    ]


def test_a_piece_with_an_id_of_its_own_and_no_name_begins_no_call() -> None:
    stream = chunk(call(0, "", "x", "f")) + chunk(call(0, "{}", "made-up"))
    assert _calls(stream) == [ToolStart(0, "x", "f"), ToolArgs(0, "{}")]


def test_a_call_without_an_index_stands_beside_one_that_has_it() -> None:
    bare = {"tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{}"}}]}
    stream = chunk(bare) + chunk(call(0, "", "y", "g")) + chunk(call(0, "[]"))
    assert _calls(stream) == [ToolStart(0, "x", "f"), ToolArgs(0, "{}"), ToolStart(1, "y", "g"), ToolArgs(1, "[]")]


def test_the_function_call_of_old_models_is_a_call() -> None:
    stream = chunk({"function_call": {"name": "f", "arguments": ""}}) + chunk({"function_call": {"arguments": "{}"}})
    calls = [ToolStart(0, "", "f"), ToolArgs(0, "{}")]
    assert _calls(stream + chunk({}, "function_call")) == calls
    message = {"content": None, "function_call": {"name": "f", "arguments": "{}"}}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "function_call"}]}
    said = openai_chat.EGRESS.decode_answer(json.dumps(answer).encode())
    assert list(said) == [Start("", ""), *calls, Finish("tool_calls")]


def test_an_input_that_the_start_of_a_block_tells_whole_is_told_at_its_stop() -> None:
    begun = block(0, type="tool_use", id="t", name="f", input={"a": 1})
    decoder = anthropic_messages.EGRESS.stream_decoder()
    assert decoded(decoder, [begun + stop(0)]) == [ToolStart(0, "t", "f"), ToolArgs(0, '{"a":1}')]
    more = delta(0, type="input_json_delta", partial_json='{"b":2}')
    decoder = anthropic_messages.EGRESS.stream_decoder()
    assert decoded(decoder, [begun + more + stop(0)]) == [ToolStart(0, "t", "f"), ToolArgs(0, '{"b":2}')]


def test_a_signature_of_geminis_on_a_text_comes_back_to_it() -> None:
    parts = [
        {"text": "hm", "thought": True, "thoughtSignature": "AA"},
        {"text": "a"},
        {"text": "", "thoughtSignature": "BB"},
    ]
    said = decoded(gemini.EGRESS.stream_decoder(), [data(candidates=[{"content": {"parts": parts}}])])
    assert said[1:] == [
        Reasoning("hm", "AA", origin="gemini"),
        Text("a"),
        Reasoning("", "BB", origin="gemini"),
    ]
    thoughts: list[Part] = [
        ThoughtPart("hm", "AA", origin="gemini"),
        TextPart("a"),
        ThoughtPart("", "BB", origin="gemini"),
    ]
    turns = [Turn("user", [TextPart("x")]), Turn("assistant", [*thoughts, ThoughtPart("z", "CC", origin="other")])]
    told = json.loads(gemini.EGRESS.encode_request(ChatRequest("", "m", turns), "m", gemini.EGRESS.takes))
    assert told["contents"][1]["parts"] == parts
