"""Engines that speak a format of their own, asked by clients of OpenAI's: what goes up, and what comes back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from engines.eventstream import encode
from tests.engines.wire.translation import streams
from tests.scenario.gateway import HELLO, LONGEST_S, events_of, one_model, running_gateway
from tests.scenario.upstream import Answer, End, Upstream, running_upstream, stream

pytestmark = pytest.mark.anyio

KEYS = {
    "gemini": ("x-goog-api-key", "k-of-the-engine"),
    "cohere": ("authorization", "Bearer k-of-the-engine"),
    "mistral": ("authorization", "Bearer k-of-the-engine"),
    "ai21": ("authorization", "Bearer k-of-the-engine"),
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def engine(kind: str, url: str) -> dict[str, Any]:
    if kind in ("mistral", "ai21"):
        return {"kind": "openai", "provider": kind, "base_url": f"{url}/v1", "api_key": "k-of-the-engine"}
    return {"kind": kind, "base_url": url, "api_key": "k-of-the-engine"}


STREAMS = {"gemini": streams.GEMINI, "cohere": streams.COHERE, "mistral": streams.CHAT, "ai21": streams.CHAT}
PATHS = {
    "gemini": "/models/upstream-model:streamGenerateContent?alt=sse",
    "cohere": "/v2/chat",
    "mistral": "/v1/chat/completions",
    "ai21": "/v1/chat/completions",
}


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_stream_comes_as_chunks_of_a_chat(kind: str) -> None:
    async with running_upstream(stream(STREAMS[kind])) as upstream:
        async with running_gateway(one_model(engine(kind, upstream.url))) as gateway:
            answer = await gateway.chat(stream=True, tools=TOOLS, stream_options={"include_usage": True})
            events = events_of(answer.text)
            deltas = [event["choices"][0]["delta"] for event in events[:-2]]
            assert "[DONE]" == events[-1]
            assert "tool_calls" == events[-3]["choices"][0]["finish_reason"]
            assert "it is \U0001f327" == "".join(delta.get("content") or "" for delta in deltas)
            calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
            assert "weather" == calls[0]["function"]["name"]
            record = await gateway.records.of(0)
            usage = events[-2]["usage"]
            assert (usage["prompt_tokens"], usage["completion_tokens"]) == (record.input_tokens, record.output_tokens)
            assert ("tool_calls", "reported", "") == (record.finish_reason, record.usage_source, record.error)
            request = upstream.received[0]
            assert (PATHS[kind], KEYS[kind][1]) == (request.path, request.header(KEYS[kind][0]))


async def test_a_stream_without_its_last_blank_line_is_closed_as_any_other() -> None:
    async with running_upstream(stream(streams.GEMINI.rstrip())) as upstream:
        async with running_gateway(one_model(engine("gemini", upstream.url))) as gateway:
            chat = events_of((await gateway.chat(stream=True, stream_options={"include_usage": True})).text)
            assert "tool_calls" == chat[-3]["choices"][0]["finish_reason"]
            assert (chat[-2]["choices"], chat[-1]) == ([], "[DONE]")
            assert chat[-2]["usage"]["completion_tokens"] > 0
            body = {"model": "chat", "max_tokens": 9, "stream": True, "messages": HELLO}
            told = (await gateway.http.post("/v1/messages", json=body)).text
            assert [1, 1] == [told.count(f"event: {name}\n") for name in ("message_delta", "message_stop")]
            for number in (0, 1):
                record = await gateway.records.of(number)
                assert ("tool_calls", "reported", "") == (record.finish_reason, record.usage_source, record.error)


async def asked(upstream: Upstream, kind: str, **fields: Any) -> Any:
    """What the engine is asked for by this request."""
    async with running_gateway(one_model(engine(kind, upstream.url))) as gateway:
        await gateway.http.post("/v1/chat/completions", json={"model": "chat", **fields})
        return upstream.received[-1].json


HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
            {"id": "b", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "rain"},
    {"role": "tool", "tool_call_id": "b", "content": "sun"},
]
SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}}
REFUSED = Answer([b'{"message":"no"}'], 400)


async def test_what_gemini_is_asked() -> None:
    async with running_upstream(REFUSED) as upstream:
        told = await asked(
            upstream,
            "gemini",
            messages=HISTORY,
            tools=TOOLS,
            tool_choice={"type": "function", "function": {"name": "weather"}},
            temperature=0.5,
            stop=["x"],
            seed=3,
            max_tokens=9,
            reasoning_effort="high",
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
        )
        assert {
            "systemInstruction": {"parts": [{"text": "be brief"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "see"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
                {
                    "role": "model",
                    "parts": [
                        {
                            "functionCall": {"id": "a", "name": "weather", "args": {"city": "Oslo"}},
                            "thoughtSignature": "skip_thought_signature_validator",
                        },
                        {"functionCall": {"id": "b", "name": "weather", "args": {}}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {"functionResponse": {"id": "a", "name": "weather", "response": {"output": "rain"}}},
                        {"functionResponse": {"id": "b", "name": "weather", "response": {"output": "sun"}}},
                    ],
                },
            ],
            "tools": [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": {"type": "object"}}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
            "generationConfig": {
                "temperature": 0.5,
                "stopSequences": ["x"],
                "seed": 3,
                "maxOutputTokens": 9,
                "responseMimeType": "application/json",
                "responseJsonSchema": SCHEMA,
                "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True},
            },
        } == told


async def test_what_cohere_is_asked() -> None:
    async with running_upstream(REFUSED) as upstream:
        told = await asked(
            upstream,
            "cohere",
            messages=HISTORY,
            tools=TOOLS,
            tool_choice="required",
            top_p=0.5,
            stop="x",
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
        )
        assert ({"type": "json_object", "json_schema": SCHEMA}, "REQUIRED", 0.5, ["x"]) == (
            told["response_format"],
            told["tool_choice"],
            told["p"],
            told["stop_sequences"],
        )
        assert {"role": "tool", "tool_call_id": "a", "content": "rain"} == told["messages"][3]
        assert "content" not in told["messages"][2]


async def test_what_mistral_is_asked() -> None:
    async with running_upstream(REFUSED) as upstream:
        told = await asked(
            upstream,
            "mistral",
            messages=HISTORY,
            seed=3,
            max_completion_tokens=9,
            user="u",
            stream=True,
            safe_prompt=True,
        )
        assert {"model", "messages", "random_seed", "max_tokens", "stream", "safe_prompt"} == told.keys()
        assert (3, 9) == (told["random_seed"], told["max_tokens"])


async def test_jambas_gaps_are_filled() -> None:
    body = {
        "id": "j",
        "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1},
    }
    async with running_upstream(Answer([json.dumps(body).encode()])) as upstream:
        async with running_gateway(one_model(engine("ai21", upstream.url))) as gateway:
            told = (await gateway.chat(max_completion_tokens=3)).json()
            assert ("chat.completion", "upstream-model", True) == (told["object"], told["model"], told["created"] > 0)
            assert {"model": "upstream-model", "max_tokens": 3} == {
                key: value for key, value in upstream.received[0].json.items() if key != "messages"
            }
            schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
            refused = await gateway.chat(response_format=schema)
            assert (400, "response_format") == (refused.status_code, refused.json()["error"]["param"])


async def test_a_schema_goes_where_it_is_taken() -> None:
    """A tier list of three formats: Jamba takes no schema, Gemini takes no URL of an image, Claude takes both."""
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}]
    async with running_upstream(REFUSED) as upstream:
        claude = {"kind": "anthropic", "base_url": upstream.url, "api_key": "k-of-the-engine"}
        config = one_model(engine("ai21", upstream.url), engine("gemini", upstream.url), claude)
        async with running_gateway(config) as gateway:
            paths = []
            for fields in ({}, {"response_format": schema}, {"messages": image}):
                await gateway.chat(**fields)
                paths.append(upstream.received[-1].path)
            assert ["/v1/chat/completions", "/models/upstream-model:generateContent", "/v1/messages"] == paths
            assert 3 == len(upstream.received)


def converse_stream(*messages: tuple[str, dict[str, Any]]) -> bytes:
    return b"".join(
        encode({":event-type": name, ":message-type": "event"}, json.dumps(value).encode()) for name, value in messages
    )


CONVERSED = converse_stream(
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 2, "outputTokens": 1}}),
)


async def conversed(*pieces: bytes) -> tuple[str, Any]:
    """What a client is told of this binary stream, and the record of it."""
    answer = Answer(pieces, headers=[("content-type", "application/vnd.amazon.eventstream")])
    async with running_upstream(answer) as upstream:
        section = {"kind": "bedrock", "base_url": upstream.url, "api_key": "k-of-the-engine"}
        async with running_gateway(one_model(section, retry={"max_attempts": 1})) as gateway:
            told = await gateway.chat(stream=True)
            assert "/model/upstream-model/converse-stream" == upstream.received[0].path
            return told.text, await gateway.records.of(0)


@pytest.mark.parametrize("at", [1, 11, 40, len(CONVERSED) - 1])
async def test_a_binary_stream_is_whole_wherever_it_is_cut(at: int) -> None:
    text, record = await conversed(CONVERSED[:at], CONVERSED[at:])
    assert ("hi", "stop", "[DONE]") == (
        events_of(text)[1]["choices"][0]["delta"]["content"],
        events_of(text)[2]["choices"][0]["finish_reason"],
        events_of(text)[-1],
    )
    assert (2, 1, "", "stop") == (record.input_tokens, record.output_tokens, record.error, record.finish_reason)


async def test_a_binary_stream_that_is_damaged_is_an_error() -> None:
    wrong = bytearray(CONVERSED)
    wrong[-1] ^= 1
    wrong[-150] ^= 1
    for pieces, error in (((bytes(wrong),), "engine_error"), ((CONVERSED[:-200],), "answer_truncated")):
        text, record = await conversed(*pieces)
        assert (error, False) == (record.error, "[DONE]" in text)


def claude_at(url: str) -> dict[str, Any]:
    return one_model({"kind": "anthropic", "base_url": url, "api_key": "k-of-the-engine"})


async def test_an_engine_that_goes_on_after_an_error_is_stopped() -> None:
    begun = streams.named("message_start", message={"id": "m", "usage": {"input_tokens": 3}})
    begun += streams.block(0, type="text", text="")
    said = streams.delta(0, type="text_delta", text="it is ")
    odd = streams.delta(0, type="unheard_of_delta", text="?")
    pieces = (begun, said, odd, said, End.HANG)
    async with running_upstream(stream(*pieces)) as upstream, running_gateway(claude_at(upstream.url)) as gateway:
        events = events_of((await gateway.chat(stream=True)).text)
        await asyncio.wait_for(upstream.received[0].gone.wait(), LONGEST_S)
        assert ["error" in event for event in events if event != "[DONE]"][-1]
        assert "it is " == "".join(event["choices"][0]["delta"].get("content") or "" for event in events[:-1])
        record = await gateway.records.of(0)
        assert ("unknown_event", 3) == (record.error, record.input_tokens)


async def test_usage_that_follows_an_error_is_still_counted() -> None:
    pieces = [
        streams.chunk({"content": "it is"}),
        streams.chunk({}, "for a new reason"),
        streams.data(id="c1", model="m1", choices=[], usage={"prompt_tokens": 9, "completion_tokens": 4}),
    ]
    async with running_upstream(stream(*pieces)) as upstream:
        async with running_gateway(one_model(engine("mistral", upstream.url))) as gateway:
            await gateway.chat(stream=True)
            record = await gateway.records.of(0)
            assert ("unknown_finish_reason", 9, 4) == (record.error, record.input_tokens, record.output_tokens)


LIMITS = [
    ("anthropic-ratelimit-requests-remaining", "4"),
    ("anthropic-ratelimit-requests-reset", "2020-01-01T00:00:00Z"),
]
TEXT = b'{"id":"m","type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{}}'


async def test_limits_are_told_by_the_clients_own_names_in_answers_and_refusals() -> None:
    kind = ("content-type", "application/json")
    refusal = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}'
    told = []
    async with running_upstream(Answer([TEXT], headers=[kind, *LIMITS])) as upstream:
        upstream.then(Answer([TEXT], headers=[kind, *LIMITS]), Answer([refusal], 429, headers=[kind, *LIMITS]))
        settings = {**claude_at(upstream.url), "retry": {"max_attempts": 1}}
        async with running_gateway(settings) as gateway:
            for _ in range(2):
                answer = await gateway.chat()
                limits = {name: value for name, value in answer.headers.items() if "ratelimit" in name}
                told.append((answer.status_code, limits))
            same = await gateway.http.post("/v1/messages", json={"model": "chat", "max_tokens": 9, "messages": HELLO})
            assert "4" == same.headers["anthropic-ratelimit-requests-remaining"]
    renamed = {"x-ratelimit-remaining-requests": "4", "x-ratelimit-reset-requests": "0s"}
    assert [(200, renamed), (429, renamed)] == told
