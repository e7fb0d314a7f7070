"""Each stream says the same wherever it is cut; each reason to finish, and each error, is a row of its format's."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.eventstream import encode
from engines.model import INPUT, OUTPUT, Usage
from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.anthropic_messages import stream_decoder as anthropic_decoder
from engines.wire.bedrock_converse import codec as bedrock
from engines.wire.bedrock_converse import stream_decoder as bedrock_decoder
from engines.wire.codec import Egress
from engines.wire.cohere import codec as cohere
from engines.wire.cohere import stream_decoder as cohere_decoder
from engines.wire.events import (
    Counted,
    End,
    Event,
    Failed,
    Finish,
    Ping,
    Reasoning,
    Refused,
    Start,
    Text,
    ToolArgs,
    ToolStart,
)
from engines.wire.gemini import codec as gemini
from engines.wire.gemini import stream_decoder as gemini_decoder
from engines.wire.openai_chat import codec as openai_chat
from engines.wire.openai_chat import stream_decoder as chat_decoder
from engines.wire.openai_chat import variants
from engines.wire.refusals import UNSAID
from engines.wire.translation import EGRESS
from tests.engines.wire.translation import streams
from tests.engines.wire.translation.streams import decoded, named

STREAMS: list[tuple[Egress, bytes]] = [
    (openai_chat.EGRESS, streams.CHAT),
    (variants.MISTRAL, streams.CHAT),
    (anthropic_messages.EGRESS, streams.MESSAGES),
    (gemini.EGRESS, streams.GEMINI),
    (cohere.EGRESS, streams.COHERE),
    (bedrock.EGRESS, streams.CONVERSE),
]


@pytest.mark.parametrize(("egress", "stream"), STREAMS, ids=lambda one: getattr(one, "name", ""))
def test_a_stream_says_the_same_wherever_it_is_cut(egress: Egress, stream: bytes) -> None:
    whole = decoded(egress.stream_decoder(), [stream])
    for at in range(1, len(stream)):
        assert whole == decoded(egress.stream_decoder(), [stream[:at], stream[at:]])


@settings(deadline=None, max_examples=60)
@given(which=st.sampled_from(STREAMS), data=st.data())
def test_a_stream_says_the_same_in_any_pieces(which: tuple[Egress, bytes], data: st.DataObject) -> None:
    egress, stream = which
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)) | {0, len(stream)})
    pieces = [stream[a:b] for a, b in pairwise(cuts)]
    assert decoded(egress.stream_decoder(), [stream]) == decoded(egress.stream_decoder(), pieces)


def test_chunks_of_a_chat() -> None:
    assert [
        Start("c1", "m1"),
        Reasoning("hm "),
        Reasoning("é\u2028"),
        Text("it is "),
        Text("\U0001f327"),
        ToolStart(0, "a", "weather"),
        ToolArgs(0, '{"city":'),
        ToolArgs(0, '"Oslo"}'),
        ToolStart(1, "b", "weather"),
        ToolArgs(1, '{"city":"Rome"}'),
        Finish("tool_calls"),
        Counted(Usage(9, 4)),
        End(),
    ] == decoded(openai_chat.EGRESS.stream_decoder(), [streams.CHAT])


def test_events_of_a_message() -> None:
    assert [
        Start("m1", "claude"),
        Counted(Usage(5, 1, 2, unsaid=OUTPUT)),
        Ping(),
        Reasoning("hm \u2028", origin="anthropic_messages"),
        Reasoning("", "c2ln", origin="anthropic_messages"),
        Reasoning("", redacted="cmVk", origin="anthropic_messages"),
        Text("it is \U0001f327"),
        ToolStart(0, "t1", "weather"),
        ToolArgs(0, '{"city":'),
        ToolArgs(0, '"Oslo"}'),
        ToolStart(1, "t2", "weather"),
        ToolArgs(1, '{"city":"Rome"}'),
        Counted(Usage(0, 7, unsaid=INPUT)),
        Finish("tool_calls"),
        End(),
    ] == decoded(anthropic_messages.EGRESS.stream_decoder(), [streams.MESSAGES])


def test_texts_of_one_response_of_geminis_that_follow_each_other_are_one() -> None:
    parts: list[dict[str, Any]] = [
        {"text": "a"},
        {"text": "b", "thought": False},
        {"text": "c", "thought": True},
        {"text": "d", "thought": True},
        {"text": "e", "thought": True, "thoughtSignature": "s"},
        {"text": ""},
        {"text": "f"},
        {"functionCall": {"name": "g"}},
        {"text": "h"},
    ]
    told = gemini.EGRESS.stream_decoder().read(streams.data(candidates=[{"content": {"parts": parts}}]))
    assert [
        Start("", ""),
        Text("ab"),
        Reasoning("cd", origin="gemini"),
        Reasoning("e", "s", origin="gemini"),
        Text("f"),
        ToolStart(0, "", "g"),
        ToolArgs(0, "{}"),
        Text("h"),
    ] == list(told)


def test_responses_of_geminis() -> None:
    assert [
        Start("r1", "gemini-3"),
        Reasoning("hm", origin="gemini"),
        Counted(Usage(5, 0, unsaid=OUTPUT)),
        Text("it is \U0001f327"),
        Counted(Usage(5, 8, 1, 0, 2)),
        ToolStart(0, "", "weather", "c2ln"),
        ToolArgs(0, '{"city":"Oslo"}'),
        ToolStart(1, "g2", "weather"),
        ToolArgs(1, '{"city":"Rome"}'),
        Finish("tool_calls"),
    ] == decoded(gemini.EGRESS.stream_decoder(), [streams.GEMINI])


def test_events_of_coheres() -> None:
    assert [
        Start("x1", ""),
        Reasoning("I will ask"),
        Text("it is \U0001f327"),
        ToolStart(0, "k1", "weather"),
        ToolArgs(0, '{"city":"O"}'),
        Counted(Usage(4, 3)),
        Finish("tool_calls"),
        End(),
    ] == decoded(cohere.EGRESS.stream_decoder(), [streams.COHERE])


def test_events_of_a_conversation() -> None:
    assert [
        Start("", ""),
        Reasoning("hm", origin="bedrock_converse"),
        Reasoning("", "c2ln", origin="bedrock_converse"),
        Text("it is \U0001f327"),
        ToolStart(0, "u1", "weather"),
        ToolArgs(0, '{"city":'),
        ToolArgs(0, '"Oslo"}'),
        Finish("tool_calls"),
        Counted(Usage(8, 3, 2, 1)),
    ] == decoded(bedrock.EGRESS.stream_decoder(), [streams.CONVERSE])


@pytest.mark.parametrize(("name", "status"), [*bedrock_decoder.STATUSES.items(), ("oddException", 500)])
def test_an_exception_in_a_conversation_says_its_status(name: str, status: int) -> None:
    event = streams.converse(name, "exception", message="no")
    assert [Failed("no", status)] == list(bedrock.EGRESS.stream_decoder().read(event))


@pytest.mark.parametrize(
    ("headers", "payload", "failed"),
    [
        ({":message-type": "exception", ":exception-type": "throttlingException"}, b"", ("throttlingException", 429)),
        ({":message-type": "exception", ":exception-type": "oddException"}, b"\xff", ("oddException", 500)),
        (
            {":message-type": "error", ":error-code": "throttlingException", ":error-message": "slow"},
            b"",
            ("slow", 429),
        ),
        ({":message-type": "error", ":error-code": "InternalServerException"}, b"{}", ("InternalServerException", 500)),
        ({":message-type": "error"}, b"", (UNSAID, 500)),
    ],
)
def test_an_error_in_a_conversation_may_have_no_payload(
    headers: dict[str, str], payload: bytes, failed: tuple[str, int]
) -> None:
    assert [Failed(*failed)] == list(bedrock.EGRESS.stream_decoder().read(encode(headers, payload)))


def test_no_format_takes_several_choices() -> None:
    assert [name for name, egress in EGRESS.items() if "n" in egress.takes] == []


def chat_ending(reason: str) -> bytes:
    return streams.chunk({}, reason)


def message_ending(reason: str) -> bytes:
    return named("message_delta", delta={"stop_reason": reason})


def gemini_ending(reason: str) -> bytes:
    return streams.data(candidates=[{"finishReason": reason}])


def cohere_ending(reason: str) -> bytes:
    return named("message-end", delta={"finish_reason": reason})


def converse_ending(reason: str) -> bytes:
    return streams.converse("messageStop", stopReason=reason)


ENDINGS: list[tuple[Egress, dict[str, str], Callable[[str], bytes]]] = [
    (openai_chat.EGRESS, chat_decoder.FINISH, chat_ending),
    (variants.AI21, chat_decoder.FINISH, chat_ending),
    (variants.MISTRAL, chat_decoder.MISTRALS_FINISH, chat_ending),
    (anthropic_messages.EGRESS, anthropic_decoder.FINISH, message_ending),
    (gemini.EGRESS, gemini_decoder.FINISH, gemini_ending),
    (cohere.EGRESS, cohere_decoder.FINISH, cohere_ending),
    (bedrock.EGRESS, bedrock_decoder.FINISH, converse_ending),
]
ROWS = [(egress, reason, ours, ending) for egress, table, ending in ENDINGS for reason, ours in table.items()]


@pytest.mark.parametrize(
    ("egress", "reason", "ours", "ending"), ROWS, ids=lambda one: one if isinstance(one, str) else ""
)
def test_every_reason_to_finish_is_one_of_four_or_an_error(
    egress: Egress, reason: str, ours: str, ending: Callable[[str], bytes]
) -> None:
    decoder = egress.stream_decoder()
    said = [one for one in decoder.read(ending(reason)) if isinstance(one, (Finish, Failed))]
    assert 1 == len(said)
    assert (ours in ("stop", "length", "tool_calls", "content_filter")) is decoder.finished
    if ours:
        assert [Finish(ours)] == said
    else:
        assert isinstance(said[0], Failed)
        assert "" == said[0].unknown


@pytest.mark.parametrize(("egress", "table", "ending"), ENDINGS, ids=lambda one: getattr(one, "name", ""))
def test_a_reason_of_no_table_is_an_error(
    egress: Egress, table: dict[str, str], ending: Callable[[str], bytes]
) -> None:
    decoder = egress.stream_decoder()
    failed = [one for one in decoder.read(ending("resting")) if isinstance(one, Failed)]
    assert ["finish_reason"] == [one.unknown for one in failed]
    assert not decoder.finished


@pytest.mark.parametrize(
    ("egress", "event"),
    [
        (anthropic_messages.EGRESS, named("dance")),
        (anthropic_messages.EGRESS, streams.delta(0, type="dance_delta")),
        (anthropic_messages.EGRESS, streams.block(0, type="server_tool_use", id="s", name="web_search")),
        (cohere.EGRESS, named("dance", delta={"message": {"role": "assistant"}})),
        (openai_chat.EGRESS, b"data: 4\n\n"),
        (gemini.EGRESS, streams.data(weather={})),
        (openai_chat.EGRESS, streams.data(object="weather")),
        (bedrock.EGRESS, streams.converse("dance")),
        (gemini.EGRESS, streams.data(candidates=[{"content": {"parts": [{"inlineData": {"data": ""}}]}}])),
        (gemini.EGRESS, streams.data(candidates=[{"content": {"parts": [{"functionCall": {"willContinue": True}}]}}])),
    ],
)
def test_what_no_format_knows_is_an_error(egress: Egress, event: bytes) -> None:
    said = egress.stream_decoder().read(event)
    assert ["event"] == [one.unknown for one in said if isinstance(one, Failed)]


ERRORS: list[tuple[Egress, Any, int]] = [
    *[
        (anthropic_messages.EGRESS, {"type": "error", "error": {"type": kind, "message": "no"}}, status)
        for kind, status in {
            "invalid_request_error": 400,
            "authentication_error": 401,
            "billing_error": 402,
            "permission_error": 403,
            "not_found_error": 404,
            "request_too_large": 413,
            "rate_limit_error": 429,
            "api_error": 500,
            "timeout_error": 504,
            "overloaded_error": 529,
        }.items()
    ],
    *[
        (gemini.EGRESS, {"error": {"code": code, "status": status, "message": "no"}}, code)
        for status, code in {
            "INVALID_ARGUMENT": 400,
            "FAILED_PRECONDITION": 400,
            "PERMISSION_DENIED": 403,
            "NOT_FOUND": 404,
            "RESOURCE_EXHAUSTED": 429,
            "INTERNAL": 500,
            "UNAVAILABLE": 503,
            "DEADLINE_EXCEEDED": 504,
        }.items()
    ],
    (gemini.EGRESS, [{"error": {"code": 429, "message": "no"}}], 429),
    (openai_chat.EGRESS, {"error": {"message": "no", "type": "server_error"}}, 500),
    (openai_chat.EGRESS, {"error": {"message": "no", "code": 503}}, 503),
    (variants.MISTRAL, {"object": "error", "message": "no", "type": "rate_limit_error"}, 429),
    (cohere.EGRESS, {"message": "no"}, 0),
]


@pytest.mark.parametrize(("egress", "error", "status"), ERRORS)
def test_an_error_in_a_stream_says_its_status(egress: Egress, error: Any, status: int) -> None:
    body = json.dumps(error).encode()
    for said in (egress.stream_decoder().read(b"data: " + body + b"\n\n"), egress.decode_answer(body)):
        assert [Failed("no", status)] == list(said)


def test_a_refusal_says_why() -> None:
    told = {"stop_reason": "refusal", "stop_details": {"category": "cyber", "explanation": "not that"}}
    said = anthropic_messages.EGRESS.stream_decoder().read(named("message_delta", delta=told))
    assert [Refused("not that"), Finish("content_filter")] == list(said)


def test_a_blocked_prompt_is_an_answer_that_was_filtered() -> None:
    said = gemini.EGRESS.stream_decoder().read(streams.data(promptFeedback={"blockReason": "SAFETY"}))
    assert [Start("", ""), Refused("the prompt was blocked: SAFETY"), Finish("content_filter")] == list(said)


def test_mistrals_thoughts_and_objects() -> None:
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "so"}]
    calls = [{"id": "x", "function": {"name": "f", "arguments": {"a": 1}}}]
    said = variants.MISTRAL.stream_decoder().read(
        streams.chunk({"content": content, "tool_calls": calls}, "model_length")
    )
    assert [
        Start("c1", "m1"),
        Reasoning("hm"),
        Text("so"),
        ToolStart(0, "x", "f"),
        ToolArgs(0, '{"a":1}'),
        Finish("length"),
    ] == list(said)


@pytest.mark.parametrize(
    ("egress", "body"),
    [
        (
            openai_chat.EGRESS,
            {
                "id": "1",
                "model": "m",
                "choices": [
                    {
                        "message": {
                            "content": "hi",
                            "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}],
                        },
                        "finish_reason": "tool_calls",
                    }
                ],
                "usage": {"prompt_tokens": 2, "completion_tokens": 3},
            },
        ),
        (
            anthropic_messages.EGRESS,
            {
                "id": "1",
                "model": "m",
                "content": [
                    {"type": "text", "text": "hi"},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
                ],
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 2, "output_tokens": 3},
            },
        ),
        (
            gemini.EGRESS,
            {
                "responseId": "1",
                "modelVersion": "m",
                "candidates": [
                    {
                        "content": {"parts": [{"text": "hi"}, {"functionCall": {"id": "t", "name": "f"}}]},
                        "finishReason": "STOP",
                    }
                ],
                "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 3},
            },
        ),
        (
            cohere.EGRESS,
            {
                "id": "1",
                "message": {
                    "content": [{"type": "text", "text": "hi"}],
                    "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}],
                },
                "finish_reason": "TOOL_CALL",
                "usage": {"tokens": {"input_tokens": 2.0, "output_tokens": 3.0}},
            },
        ),
    ],
    ids=["openai", "anthropic", "gemini", "cohere"],
)
def test_plain_answers_say_the_same(egress: Egress, body: Any) -> None:
    said: list[Event] = list(egress.decode_answer(json.dumps(body).encode()))
    model = "" if egress is cohere.EGRESS else "m"
    assert {
        Start("1", model),
        Text("hi"),
        ToolStart(0, "t", "f"),
        ToolArgs(0, "{}"),
        Counted(Usage(2, 3)),
        Finish("tool_calls"),
    } == set(said)
