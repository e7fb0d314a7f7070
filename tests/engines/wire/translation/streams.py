"""Streams of engines, made by hand from the documented formats, and how a relay cuts one into events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from engines.eventstream import encode, whole_messages
from engines.sse import split, whole_events
from engines.wire.bedrock_converse.stream_decoder import ConverseStreamDecoder
from engines.wire.codec import StreamDecoder
from engines.wire.events import Event


def named(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def data(**members: Any) -> bytes:
    return b"data: " + json.dumps(members).encode() + b"\n\n"


def chunk(delta: dict[str, Any], reason: str | None = None, **members: Any) -> bytes:
    return data(id="c1", model="m1", choices=[{"index": 0, "delta": delta, "finish_reason": reason}], **members)


def call(index: int, arguments: str, id: str | None = None, name: str | None = None) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": function} | ({"id": id, "type": "function"} if id else {})]}


CHAT = b"".join(
    [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm "}),
        chunk({"reasoning_content": "é\u2028"}),
        chunk({"content": "it is "}),
        chunk({"content": "\U0001f327"}),
        chunk(call(0, "", "a", "weather")),
        chunk(call(0, '{"city":')),
        chunk(call(0, '"Oslo"}')),
        chunk(call(1, '{"city":"Rome"}', "b", "weather")),
        chunk({}, "tool_calls"),
        data(id="c1", model="m1", choices=[], usage={"prompt_tokens": 9, "completion_tokens": 4}),
        b"data: [DONE]\n\n",
    ]
)
_MESSAGE = {
    "id": "m1",
    "model": "claude",
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1},
}


def delta(index: int, **members: Any) -> bytes:
    return named("content_block_delta", index=index, delta=members)


def block(index: int, **members: Any) -> bytes:
    return named("content_block_start", index=index, content_block=members)


def stop(index: int) -> bytes:
    return named("content_block_stop", index=index)


MESSAGES = b"".join(
    [
        named("message_start", message=_MESSAGE),
        named("ping"),
        block(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="hm \u2028"),
        delta(0, type="signature_delta", signature="c2ln"),
        stop(0),
        block(1, type="redacted_thinking", data="cmVk"),
        stop(1),
        block(2, type="text", text=""),
        delta(2, type="text_delta", text="it is \U0001f327"),
        stop(2),
        block(3, type="tool_use", id="t1", name="weather", input={}),
        delta(3, type="input_json_delta", partial_json=""),
        delta(3, type="input_json_delta", partial_json='{"city":'),
        delta(3, type="input_json_delta", partial_json='"Oslo"}'),
        stop(3),
        block(4, type="tool_use", id="t2", name="weather", input={}),
        delta(4, type="input_json_delta", partial_json='{"city":"Rome"}'),
        stop(4),
        named("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 7}),
        named("message_stop"),
    ]
)
GEMINI = b"".join(
    [
        data(
            candidates=[{"content": {"role": "model", "parts": [{"text": "hm", "thought": True}]}, "index": 0}],
            responseId="r1",
            modelVersion="gemini-3",
        ),
        data(
            candidates=[{"content": {"parts": [{"text": "it is \U0001f327"}]}}], usageMetadata={"promptTokenCount": 5}
        ),
        data(
            candidates=[
                {
                    "content": {
                        "parts": [
                            {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "c2ln"},
                            {"functionCall": {"name": "weather", "args": {"city": "Rome"}, "id": "g2"}},
                        ]
                    },
                    "finishReason": "STOP",
                }
            ],
            usageMetadata={
                "promptTokenCount": 5,
                "candidatesTokenCount": 6,
                "thoughtsTokenCount": 2,
                "cachedContentTokenCount": 1,
            },
        ),
    ]
)
COHERE = b"".join(
    [
        named("message-start", id="x1", delta={"message": {"role": "assistant"}}),
        named("tool-plan-delta", delta={"message": {"tool_plan": "I will ask"}}),
        named("content-start", index=0, delta={"message": {"content": {"type": "text", "text": ""}}}),
        named("content-delta", index=0, delta={"message": {"content": {"text": "it is \U0001f327"}}}),
        named("content-end", index=0),
        named(
            "tool-call-start",
            index=0,
            delta={"message": {"tool_calls": {"id": "k1", "function": {"name": "weather", "arguments": ""}}}},
        ),
        named(
            "tool-call-delta", index=0, delta={"message": {"tool_calls": {"function": {"arguments": '{"city":"O"}'}}}}
        ),
        named("tool-call-end", index=0),
        named(
            "message-end",
            delta={
                "finish_reason": "TOOL_CALL",
                "usage": {
                    "billed_units": {"input_tokens": 4.0, "output_tokens": 3.0},
                    "tokens": {"input_tokens": 70.0, "output_tokens": 5.0},
                },
            },
        ),
    ]
)


def converse(name: str, kind: str = "event", **members: Any) -> bytes:
    """A message of a binary stream."""
    return encode({f":{kind}-type": name, ":message-type": kind}, json.dumps(members).encode())


CONVERSE = b"".join(
    [
        converse("messageStart", role="assistant"),
        converse("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"text": "hm"}}),
        converse("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"signature": "c2ln"}}),
        converse("contentBlockStop", contentBlockIndex=0),
        converse("contentBlockDelta", contentBlockIndex=1, delta={"text": "it is \U0001f327"}),
        converse("contentBlockStop", contentBlockIndex=1),
        converse("contentBlockStart", contentBlockIndex=2, start={"toolUse": {"toolUseId": "u1", "name": "weather"}}),
        converse("contentBlockDelta", contentBlockIndex=2, delta={"toolUse": {"input": '{"city":'}}),
        converse("contentBlockDelta", contentBlockIndex=2, delta={"toolUse": {"input": '"Oslo"}'}}),
        converse("contentBlockStop", contentBlockIndex=2),
        converse("messageStop", stopReason="tool_use"),
        converse(
            "metadata",
            usage={"inputTokens": 5, "outputTokens": 3, "cacheReadInputTokens": 2, "cacheWriteInputTokens": 1},
        ),
    ]
)


def messages(block: bytes) -> list[bytes]:
    """The messages of a block of whole ones."""
    found = []
    while block:
        size = int.from_bytes(block[:4], "big")
        found.append(block[:size])
        block = block[size:]
    return found


def decoded(decoder: StreamDecoder, pieces: Iterable[bytes]) -> list[Event]:
    """What a stream that comes in these pieces says."""
    binary = isinstance(decoder, ConverseStreamDecoder)
    held, said = b"", list[Event]()
    for piece in pieces:
        held += piece
        whole = whole_messages(held) if binary else whole_events(held)
        for event in messages(held[:whole]) if binary else split(held[:whole]):
            said += decoder.read(event)
        held = held[whole:]
    assert held == b""
    return said
