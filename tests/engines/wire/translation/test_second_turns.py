"""A stream as an official client joins it, sent back in its next request, is the turn that the engine made, block by
block: what was thought, by whom, with its signature; what was said; what was called."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from anthropic.lib.streaming import _messages as anthropics
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming._deltas import accumulate_delta

from engines.sse import payload, split
from engines.wire.anthropic_messages.codec import EGRESS as CLAUDE
from engines.wire.anthropic_messages.codec import INGRESS as MESSAGES
from engines.wire.bedrock_converse.codec import EGRESS as BEDROCK
from engines.wire.codec import Egress, Ingress
from engines.wire.events import TOOL_CALLS, Event, Finish, Reasoning, Start, Text, ToolArgs, ToolStart
from engines.wire.gemini.codec import EGRESS as GEMINI
from engines.wire.openai_chat.codec import INGRESS as CHAT
from engines.wire.openai_responses.codec import INGRESS as RESPONSES
from engines.wire.request import CallPart, ChatRequest, Part, TextPart, ThoughtPart, Turn

ORIGINS = ("anthropic_messages", "bedrock_converse", "gemini")
WORDS = st.text('abc é\u2028"\\/', min_size=1, max_size=8)
TOKENS = st.from_regex(r"[A-Za-z0-9+/=]{1,12}", fullmatch=True)


@st.composite
def thoughts(draw: st.DrawFn, origin: str) -> list[Event]:
    """One block as its pieces: redacted, or signed at its end; some models sign what they do not show."""
    if draw(st.booleans()) and draw(st.booleans()):
        return [Reasoning("", "", draw(TOKENS), origin)]
    pieces = [Reasoning(text, "", "", origin) for text in draw(st.lists(WORDS, max_size=3))]
    last = draw(WORDS) if draw(st.booleans()) else ""
    return [*pieces, Reasoning(last, draw(TOKENS), "", origin)]


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    origin = draw(st.sampled_from(ORIGINS))
    said: list[Event] = [Start("a1", "m1")]
    for _ in range(draw(st.integers(0, 3))):
        said += draw(thoughts(origin))
        said += [Text(text) for text in draw(st.lists(WORDS, max_size=2))]
    for index in range(draw(st.integers(0, 2))):
        signature = draw(TOKENS) if origin == "gemini" and draw(st.booleans()) else ""
        said += [ToolStart(index, f"c{index}", "f", signature), ToolArgs(index, '{"a":'), ToolArgs(index, "1}")]
    return [*said, Finish(TOOL_CALLS)]


def blocks(said: list[Event]) -> list[ThoughtPart]:
    found: list[ThoughtPart] = []
    text = ""
    for event in said:
        if isinstance(event, Reasoning):
            if event.redacted:
                found.append(ThoughtPart(redacted=event.redacted, origin=event.origin))
                continue
            text += event.text
            if event.signature:
                found.append(ThoughtPart(text, event.signature, origin=event.origin))
                text = ""
    return found


def parts_of(said: list[Event]) -> tuple[list[ThoughtPart], str, list[tuple[str, str, str]]]:
    calls = [(event.id, event.name, event.signature) for event in said if isinstance(event, ToolStart)]
    return blocks(said), "".join(event.text for event in said if isinstance(event, Text)), calls


def events_of(ingress: Ingress, said: list[Event]) -> list[Any]:
    encoder = ingress.stream_encoder("m", 1, "x")
    frames = [*[encoder.write(event) for event in said], *encoder.closing(None)]
    told = [payload(event) for frame in frames for event in split(frame)]
    return [json.loads(event) for event in told if event.startswith(b"{")]


def joined_chat(said: list[Event]) -> list[Any]:
    message: Any = {}
    for chunk in events_of(CHAT, said):
        message = accumulate_delta(message, chunk["choices"][0]["delta"])
    return [message]


def joined_message(said: list[Event]) -> list[Any]:
    message: Any = None
    buffers: dict[int, bytes] = {}
    for event in events_of(MESSAGES, said):
        message = anthropics.accumulate_event(event=event, current_snapshot=message, json_bufs=buffers)
    assert message is not None
    content = [block.to_dict() for block in message.content]
    return [{"role": "assistant", "content": content}] if content else []


def joined_response(said: list[Event]) -> list[Any]:
    output: list[Any] = events_of(RESPONSES, said)[-1]["response"]["output"]
    return output


JOINED: dict[str, tuple[Ingress, Callable[[list[Event]], list[Any]], str]] = {
    "chat": (CHAT, joined_chat, "messages"),
    "messages": (MESSAGES, joined_message, "messages"),
    "responses": (RESPONSES, joined_response, "input"),
}


@settings(deadline=None, max_examples=60)
@given(said=answers())
@pytest.mark.parametrize("name", JOINED)
def test_what_a_client_joined_is_the_turn_that_the_engine_made(name: str, said: list[Event]) -> None:
    ingress, join, member = JOINED[name]
    turns = [{"role": "user", "content": "go"}, *join(said)]
    request = ingress.decode_request(msgspec.json.encode({"model": "m", "max_tokens": 9, member: turns}))
    parts: list[Part] = [part for turn in request.turns if turn.role == "assistant" for part in turn.parts]
    thought = [part for part in parts if isinstance(part, ThoughtPart)]
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    calls = [(part.id, part.name, part.signature) for part in parts if isinstance(part, CallPart)]
    assert parts_of(said) == (thought, text, calls)
    assert all(json.loads(part.arguments) == {"a": 1} for part in parts if isinstance(part, CallPart))


ENGINES: dict[str, tuple[Egress, str]] = {
    "anthropic_messages": (CLAUDE, "claude-opus-5"),
    "bedrock_converse": (BEDROCK, "eu.anthropic.claude-opus-5-v1:0"),
    "gemini": (GEMINI, "gemini-3-flash"),
}


def turn_of(said: list[Event], name: str) -> Turn:
    """What the engine said, as its own client would send it back: a block where it made one. OpenAI's chat has no place
    for the order of thoughts and texts."""
    parts: list[Part] = []
    thought = ""
    for event in said:
        if isinstance(event, Reasoning) and event.redacted:
            parts.append(ThoughtPart(redacted=event.redacted, origin=event.origin))
        elif isinstance(event, Reasoning):
            thought += event.text
            if event.signature:
                parts.append(ThoughtPart(thought, event.signature, origin=event.origin))
                thought = ""
        elif isinstance(event, Text):
            last = parts[-1] if parts else None
            if isinstance(last, TextPart):
                last.text += event.text
            else:
                parts.append(TextPart(event.text))
        elif isinstance(event, ToolStart):
            parts.append(CallPart(event.id, event.name, "", event.signature))
        elif isinstance(event, ToolArgs):
            call = [part for part in parts if isinstance(part, CallPart)][event.index]
            call.arguments += event.text
    if name == "chat":
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        thoughts = [part for part in parts if isinstance(part, ThoughtPart)]
        calls = [part for part in parts if isinstance(part, CallPart)]
        parts = [*thoughts, TextPart(text), *calls]
    return Turn("assistant", parts)


def answer_in(body: bytes) -> list[Any]:
    told = json.loads(body)
    return [one for one in told.get("messages") or told["contents"] if one["role"] in ("assistant", "model")]


@settings(deadline=None, max_examples=60)
@given(said=answers())
@pytest.mark.parametrize("name", JOINED)
def test_the_engine_is_sent_back_its_own_answer(name: str, said: list[Event]) -> None:
    ingress, join, member = JOINED[name]
    turns = [{"role": "user", "content": "go"}, *join(said)]
    request = ingress.decode_request(msgspec.json.encode({"model": "m", "max_tokens": 9, member: turns}))
    origins = {event.origin for event in said if isinstance(event, Reasoning)} or set(ORIGINS)
    first = ChatRequest("", "m", [Turn("user", [TextPart("go")]), turn_of(said, name)], max_tokens=9)
    for origin in origins:
        egress, model = ENGINES[origin]
        wanted = answer_in(egress.encode_request(first, model, egress.takes))
        assert wanted == answer_in(egress.encode_request(request, model, egress.takes))
