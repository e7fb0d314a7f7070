"""What a response says comes back whole when its client sends it back, and what its request says reaches any format."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.sse import payload, split
from engines.wire.codec import Egress
from engines.wire.events import Event, Reasoning, ToolStart
from engines.wire.openai_responses.codec import INGRESS
from engines.wire.request import (
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    ResultPart,
    TextPart,
    ThoughtPart,
    Tool,
    Turn,
)
from tests.engines.wire.translation.test_there_and_back import PAIRS, answers, comparable, gist, requests, written


@st.composite
def signed_answers(draw: st.DrawFn) -> list[Event]:
    """Some with a signature on their first call, as Gemini's have."""
    said = draw(answers())
    for at, event in enumerate(said):
        if isinstance(event, ToolStart) and event.index == 0 and draw(st.booleans()):
            said[at] = ToolStart(event.index, event.id, event.name, "c2ln")
    return said


def sent_back(output: list[Any]) -> ChatRequest:
    """The next request of a client that keeps the conversation itself: what it asked, what came, what tools say."""
    calls = [item["call_id"] for item in output if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": call, "output": "done"} for call in calls]
    conversation = [{"role": "user", "content": "go"}, *output, *results, {"role": "user", "content": "on"}]
    return INGRESS.decode_request(msgspec.json.encode({"model": "m", "input": conversation}))


@settings(deadline=None, max_examples=30)
@given(said=signed_answers())
def test_an_answer_that_is_sent_back_is_the_same_turn(said: list[Event]) -> None:
    wanted = gist(said)
    output = json.loads(INGRESS.encode_answer(said, "m", 1, "x"))["output"]
    request = sent_back(output)
    parts = [part for turn in request.turns if turn.role == "assistant" for part in turn.parts]
    assert wanted["text"] == "".join(part.text for part in parts if isinstance(part, TextPart))
    thoughts = [part for part in parts if isinstance(part, ThoughtPart)]
    assert wanted["thought"] == "".join(part.text for part in thoughts)
    assert wanted["kept"] == [(part.signature, part.origin) for part in thoughts if part.signature]
    calls = [part for part in parts if isinstance(part, CallPart)]
    assert list(wanted["calls"].values()) == [[part.id, part.name, json.loads(part.arguments)] for part in calls]
    signatures = [event.signature for event in said if isinstance(event, ToolStart)]
    assert signatures == [part.signature for part in calls]
    results = [part.id for turn in request.turns for part in turn.parts if isinstance(part, ResultPart)]
    assert [part.id for part in calls] == results


@settings(deadline=None, max_examples=30)
@given(said=signed_answers())
def test_a_stream_ends_with_the_plain_answer(said: list[Event]) -> None:
    ends = [json.loads(payload(event)) for frame in written(INGRESS, said) for event in split(frame)]
    assert ends[-1]["type"] in ("response.completed", "response.incomplete")
    assert json.loads(INGRESS.encode_answer(said, "m", 1, "x")) == ends[-1]["response"]


def test_a_thought_with_its_signature_reaches_claude_as_it_was() -> None:
    said: list[Event] = [Reasoning("hm", "c2ln", origin="anthropic_messages"), ToolStart(0, "c0", "f")]
    request = sent_back(json.loads(INGRESS.encode_answer(said, "m", 1, "x"))["output"])
    claude = PAIRS[1][0]
    content = json.loads(claude.encode_request(request, "m", claude.takes))["messages"][1]["content"]
    assert {"type": "thinking", "thinking": "hm", "signature": "c2ln"} == content[0]


def body_of(request: ChatRequest) -> bytes:
    """The request as OpenAI's clients write it for a response."""
    items = [item for turn in request.turns for item in items_of(turn)]
    body: dict[str, Any] = {"model": request.model, "input": items, "max_output_tokens": request.max_tokens}
    body |= {"user": request.user, "stream": request.stream, "parallel_tool_calls": request.parallel_tool_calls}
    body["tools"] = [tool_of(tool) for tool in request.tools]
    choice = request.tool_choice
    if choice is not None:
        named = {"type": "function", "name": choice.name}
        body["tool_choice"] = named if choice.mode == "named" else choice.mode
    if request.output is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "", "schema": request.output.schema}}
    return msgspec.json.encode(body)


def tool_of(tool: Tool) -> dict[str, Any]:
    named = {"type": "function", "name": tool.name, "description": tool.description}
    return {**named, "parameters": tool.parameters, "strict": tool.strict}


def items_of(turn: Turn) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, ResultPart):
            text = "".join(one.text for one in part.parts if isinstance(one, TextPart))
            items.append({"type": "function_call_output", "call_id": part.id, "output": text})
        elif isinstance(part, CallPart):
            call = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
            items.append(call)
        elif isinstance(part, TextPart):
            items.append({"role": turn.role, "content": part.text})
        elif isinstance(part, FilePart):
            file = {"type": "input_file", "file_data": f"data:{part.media_type};base64,{part.data}"}
            items.append({"role": turn.role, "content": [file | ({"filename": part.name} if part.name else {})]})
        else:
            assert isinstance(part, ImagePart)
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            image = {"type": "input_image", "image_url": url, "detail": "auto"}
            items.append({"role": turn.role, "content": [image]})
    return items


@settings(deadline=None, max_examples=30)
@given(request=requests(), pair=st.sampled_from(PAIRS))
def test_a_request_for_a_response_reaches_every_format_whole(
    request: ChatRequest, pair: tuple[Egress, Any, Any]
) -> None:
    request.stop = []  # for which it has no word
    wanted = comparable(request)
    read = INGRESS.decode_request(body_of(request))
    assert wanted == comparable(read)
    egress, ingress, takes = pair
    assert wanted == comparable(ingress.decode_request(egress.encode_request(read, "m", takes)))
