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
from engines.wire.anthropic_messages.codec import INGRESS as MESSAGES
from engines.wire.codec import Ingress
from engines.wire.events import TOOL_CALLS, Event, Finish, Reasoning, Start, Text, ToolArgs, ToolStart
from engines.wire.openai_chat.codec import INGRESS as CHAT
from engines.wire.openai_responses.codec import INGRESS as RESPONSES
from engines.wire.request import CallPart, Part, TextPart, ThoughtPart

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
