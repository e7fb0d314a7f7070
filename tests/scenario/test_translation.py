"""The real SDKs against the whole gateway in front of an engine that speaks another format than they do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest

from engines.simulator.failures import FailureKind
from tests.engines.simulator.conftest import simulator
from tests.scenario.gateway import HELLO, KEY, Gateway, events_of, one_model, running_gateway
from tests.scenario.upstream import Answer, running_upstream, stream

pytestmark = pytest.mark.anyio

MESSAGES: Any = HELLO
LONG: Any = [{"role": "user", "content": "one two three four five six seven eight nine ten eleven twelve"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
ANTHROPIC_TOOLS: Any = [{"name": "weather", "input_schema": SCHEMA}]


LIMITED: Any = {"failure_rate": 1.0, "failure_kinds": (FailureKind.RATE_LIMIT,)}


def claude(url: str) -> dict[str, Any]:
    """An engine that is asked as Anthropic is."""
    return {"kind": "anthropic", "base_url": url, "api_key": "sk-ant-of-the-engine"}


def chats(url: str) -> dict[str, Any]:
    """An engine that speaks nothing but OpenAI's chat."""
    return {"kind": "openai", "base_url": f"{url}/v1", "operations": ["chat"]}


def gemini(url: str) -> dict[str, Any]:
    return {"kind": "gemini", "base_url": url, "api_key": "k-of-the-engine"}


@asynccontextmanager
async def simulated(engine: Any, **knobs: Any) -> AsyncIterator[Gateway]:
    """A gateway in front of a simulator that it asks as `engine` says."""
    async with simulator(models=("upstream-model",), **knobs) as server:
        async with running_gateway(one_model(engine(str(server.base_url).rstrip("/")))) as gateway:
            yield gateway


@asynccontextmanager
async def openai_sdk(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@asynccontextmanager
async def anthropic_sdk(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        yield client


async def test_openais_client_is_answered_by_a_claude() -> None:
    async with simulated(claude) as gateway, openai_sdk(gateway) as client:
        raw = await client.chat.completions.with_raw_response.create(model="chat", messages=MESSAGES, max_tokens=5)
        answer = raw.parse()
        choice = answer.choices[0]
        assert ("length", "assistant") == (choice.finish_reason, choice.message.role)
        assert choice.message.content
        assert answer.usage is not None
        assert (5, answer.usage.prompt_tokens + 5) == (answer.usage.completion_tokens, answer.usage.total_tokens)
        assert ("a", "chat.completion") == (raw.headers["x-penstock-engine"], answer.object)
        record = await gateway.records.of(0)
        assert (5, answer.usage.prompt_tokens) == (record.output_tokens, record.input_tokens)
        assert ("/v1/chat/completions", "length", "reported") == (
            record.operation,
            record.finish_reason,
            record.usage_source,
        )


async def test_openais_client_reads_a_claudes_stream() -> None:
    async with simulated(claude, mode="echo") as gateway, openai_sdk(gateway) as client:
        plain = await client.chat.completions.create(model="chat", messages=LONG, max_tokens=7)
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="chat", messages=LONG, max_tokens=7, stream=True, stream_options={"include_usage": True}
            )
        ]
        assert plain.choices[0].message.content == "".join(
            chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices
        )
        assert "assistant" == chunks[0].choices[0].delta.role
        assert ["length"] == [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
        whole, last = plain.usage, chunks[-1].usage
        assert whole is not None
        assert last is not None
        assert ([], whole.prompt_tokens, 7) == (chunks[-1].choices, last.prompt_tokens, last.completion_tokens)
        assert 1 == len({chunk.id for chunk in chunks})


async def test_usage_is_the_clients_only_where_it_asked() -> None:
    async with simulated(claude) as gateway:
        body = (await gateway.chat(stream=True, max_tokens=3)).text
        assert "usage" not in body
        assert body.endswith("data: [DONE]\n\n")
        assert 3 == (await gateway.records.of(0)).output_tokens


async def test_openais_client_calls_a_claudes_tool() -> None:
    async with simulated(claude) as gateway, openai_sdk(gateway) as client:
        answer = await client.chat.completions.create(
            model="chat", messages=MESSAGES, tools=OPENAI_TOOLS, tool_choice="required"
        )
        calls: Any = answer.choices[0].message.tool_calls
        assert ("tool_calls", "weather") == (answer.choices[0].finish_reason, calls[0].function.name)
        assert {"city"} == json.loads(calls[0].function.arguments).keys()
        async with client.chat.completions.stream(
            model="chat", messages=MESSAGES, tools=OPENAI_TOOLS, tool_choice="required"
        ) as stream:
            final = await stream.get_final_completion()
        streamed: Any = final.choices[0].message.tool_calls
        assert calls[0].function.arguments == streamed[0].function.arguments


async def test_anthropics_client_is_answered_by_an_engine_of_openais() -> None:
    async with simulated(chats, mode="echo") as gateway, anthropic_sdk(gateway) as client:
        message = await client.messages.create(model="chat", messages=LONG, max_tokens=6)
        assert ("max_tokens", 6, "message") == (message.stop_reason, message.usage.output_tokens, message.type)
        assert message.usage.input_tokens > 0
        async with client.messages.stream(model="chat", messages=LONG, max_tokens=6) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
        said: Any = message.content[0]
        assert (said.text, "max_tokens") == (text, final.stop_reason)
        assert message.usage.output_tokens == final.usage.output_tokens
        cached = message.usage.cache_read_input_tokens or 0
        again = final.usage.cache_read_input_tokens or 0
        assert message.usage.input_tokens + cached == final.usage.input_tokens + again


async def test_anthropics_client_calls_a_tool_of_openais_engine() -> None:
    async with simulated(chats) as gateway, anthropic_sdk(gateway) as client:
        wish: Any = {"model": "chat", "messages": MESSAGES, "max_tokens": 100, "tools": ANTHROPIC_TOOLS}
        message = await client.messages.create(**wish, tool_choice={"type": "any"})
        call: Any = message.content[-1]
        assert ("tool_use", "tool_use", "weather") == (message.stop_reason, call.type, call.name)
        async with client.messages.stream(**wish, tool_choice={"type": "tool", "name": "weather"}) as stream:
            final = await stream.get_final_message()
        streamed: Any = final.content[-1]
        assert ("tool_use", call.input) == (final.stop_reason, streamed.input)


async def test_an_engine_is_asked_in_its_own_format() -> None:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 4},
    }
    async with running_upstream(Answer([json.dumps(body).encode()])) as engine:
        async with running_gateway(one_model(claude(engine.url))) as gateway:
            answer = await gateway.chat(stop="x", user="u1")
            request = engine.received[0]
            assert ("/v1/messages", "sk-ant-of-the-engine", "2023-06-01", None) == (
                request.path,
                request.header("x-api-key"),
                request.header("anthropic-version"),
                request.header("authorization"),
            )
            assert {
                "model": "upstream-model",
                "max_tokens": 8192,
                "messages": HELLO,
                "stop_sequences": ["x"],
                "metadata": {"user_id": "u1"},
            } == request.json
            told = answer.json()
            assert ("msg_1", "claude-x", "hi") == (told["id"], told["model"], told["choices"][0]["message"]["content"])
            assert (7, 1, 4) == (
                told["usage"]["prompt_tokens"],
                told["usage"]["completion_tokens"],
                told["usage"]["prompt_tokens_details"]["cached_tokens"],
            )
            assert "claude-x" == (await gateway.records.of(0)).response_model


async def test_a_native_client_brings_its_own_version() -> None:
    async with simulated(claude) as gateway, anthropic_sdk(gateway) as client:
        message = await client.messages.create(model="chat", messages=MESSAGES, max_tokens=2)
        assert "max_tokens" == message.stop_reason


@pytest.mark.parametrize(
    ("failure", "error"),
    [(FailureKind.RATE_LIMIT, openai.RateLimitError), (FailureKind.CONTEXT_LENGTH, openai.BadRequestError)],
)
async def test_a_claudes_refusal_is_an_error_of_openais(
    failure: FailureKind, error: type[openai.APIStatusError]
) -> None:
    async with simulated(claude, failure_rate=1.0, failure_kinds=(failure,)) as gateway, openai_sdk(gateway) as client:
        with pytest.raises(error) as told:
            await client.chat.completions.create(model="chat", messages=MESSAGES)
        assert told.value.type in ("rate_limit_error", "invalid_request_error")
        assert "model 'chat'" in told.value.message


async def test_a_refusal_of_openais_engine_is_an_error_of_anthropics() -> None:
    async with simulated(chats, **LIMITED) as gateway, anthropic_sdk(gateway) as client:
        with pytest.raises(anthropic.RateLimitError) as told:
            await client.messages.create(model="chat", messages=MESSAGES, max_tokens=3)
        body: Any = told.value.body
        assert ("error", "rate_limit_error") == (body["type"], body["error"]["type"])


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


HEAD = {"id": "m", "model": "c", "usage": {"input_tokens": 1, "output_tokens": 1}}
START = event("message_start", message=HEAD)
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
TEXT = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})
BLOCK_STOP = event("content_block_stop", index=0)
STOP = event("message_stop")
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "too busy"})
PING = event("ping")
COUNTS = {"promptTokenCount": 5, "candidatesTokenCount": 4}


def delta(reason: str) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 2})


async def streamed(*frames: bytes) -> tuple[str, Any]:
    """What a client of OpenAI's is told of this stream, and the record of it."""
    async with running_upstream(stream(*frames)) as engine:
        async with running_gateway(one_model(claude(engine.url), retry={"max_attempts": 1})) as gateway:
            answer = await gateway.chat(stream=True)
            return answer.text, await gateway.records.of(0)


async def test_an_unknown_reason_to_finish_is_an_error_and_counted() -> None:
    text, record = await streamed(START, BLOCK, TEXT, BLOCK_STOP, delta("resting"), STOP)
    assert ("unknown_finish_reason", False) == (record.error, "[DONE]" in text)
    assert "'resting'" in text
    assert '"finish_reason":"stop"' not in text


async def test_an_unknown_event_is_an_error_and_counted() -> None:
    text, record = await streamed(START, BLOCK, TEXT, event("dance"), STOP)
    assert ("unknown_event", False) == (record.error, "[DONE]" in text)


MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "c",
    "usage": {"input_tokens": 7, "output_tokens": 2},
}
HI = [{"type": "text", "text": "hi"}]


@pytest.mark.parametrize(
    ("said", "streams", "kind"),
    [
        (
            Answer([json.dumps({**MESSAGE, "content": HI, "stop_reason": "resting"}).encode()]),
            False,
            "unknown_finish_reason",
        ),
        (
            Answer([json.dumps({**MESSAGE, "content": [{"type": "dance"}], "stop_reason": "end_turn"}).encode()]),
            False,
            "unknown_event",
        ),
        (Answer([json.dumps({**MESSAGE, "content": HI}).encode()]), False, "no_finish_reason"),
        (stream(START, event("dance"), STOP), True, "unknown_event"),
        (stream(START, delta("resting"), STOP), True, "unknown_finish_reason"),
    ],
)
async def test_an_answer_that_is_charged_for_and_cannot_be_told_is_asked_for_once(
    said: Answer, streams: bool, kind: str
) -> None:
    async with running_upstream(said) as engine, running_upstream() as later:
        async with running_gateway(one_model(claude(engine.url), later.url)) as gateway:
            answer = await gateway.chat(stream=streams)
            record = await gateway.records.of(0)
    assert (1, 0) == (len(engine.received), len(later.received))
    assert (502, "false") == (answer.status_code, answer.headers["x-should-retry"])
    assert (kind, 502, 1) == (record.error, record.status, record.attempts)
    if not streams:
        assert (7, 2) == (record.input_tokens, record.output_tokens)


async def test_a_stream_without_a_reason_to_finish_is_an_error() -> None:
    text, record = await streamed(START, BLOCK, TEXT, BLOCK_STOP, STOP)
    assert ("no_finish_reason", False) == (record.error, "[DONE]" in text)


async def test_a_stream_that_lost_its_end_after_the_reason_is_whole() -> None:
    text, record = await streamed(START, BLOCK, TEXT, BLOCK_STOP, delta("end_turn"))
    assert ("", "stop", True) == (record.error, record.finish_reason, text.endswith("data: [DONE]\n\n"))


async def test_pings_keep_a_client_waiting_once_it_has_begun() -> None:
    text, _ = await streamed(PING, START, PING, BLOCK, TEXT, PING, BLOCK_STOP, delta("end_turn"), STOP)
    assert 1 == text.count(": ping\n\n")
    assert text.index("role") < text.index(": ping")


async def test_an_error_in_the_stream_is_told_in_the_clients_format() -> None:
    text, record = await streamed(START, BLOCK, TEXT, OVERLOADED)
    last = json.loads(text.strip().split("data: ")[-1])
    assert ("too busy", "server_error") == (last["error"]["message"], last["error"]["type"])
    assert ("engine_error", False) == (record.error, "[DONE]" in text)


async def test_nothing_but_the_usage_counts_after_an_error_was_told() -> None:
    text, record = await streamed(START, BLOCK, TEXT, event("dance"), BLOCK_STOP, delta("end_turn"), STOP)
    told = text.strip().split("data: ")
    assert "unknown_event" == record.error
    assert "dance" in told[-1]
    assert 1 == text.count('"content":"hi"')
    assert '"finish_reason":"stop"' not in text
    assert 2 == record.output_tokens


async def test_what_an_event_says_behind_its_failure_is_not_told() -> None:
    parts = [{"text": "before"}, {"inlineData": {"data": "AA=="}}, {"text": "behind"}]
    said = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": COUNTS}
    async with running_upstream(stream(f"data: {json.dumps(said)}\n\n".encode())) as engine:
        async with running_gateway(one_model(gemini(engine.url), retry={"max_attempts": 1})) as gateway:
            text = (await gateway.chat(stream=True, stream_options={"include_usage": True})).text
            assert "before" in text
            assert "behind" not in text
            assert '"finish_reason":"stop"' not in text
            assert "usage" not in text
            record = await gateway.records.of(0)
            assert ("unknown_event", 4) == (record.error, record.output_tokens)


@pytest.mark.parametrize(
    ("engine", "said", "reason"),
    [
        (
            "gemini",
            {
                "candidates": [
                    {
                        "content": {"parts": [{"text": "secret half"}]},
                        "finishReason": "MALFORMED_FUNCTION_CALL",
                        "finishMessage": "the call has no name",
                    }
                ]
            },
            "the call has no name",
        ),
        (
            "cohere",
            {
                "id": "x",
                "message": {"content": [{"type": "text", "text": "secret half"}]},
                "finish_reason": "ERROR",
            },
            "could not finish its answer: ERROR",
        ),
    ],
)
async def test_a_plain_answer_that_failed_tells_why_and_none_of_its_text(
    engine: str, said: dict[str, Any], reason: str
) -> None:
    async with running_upstream(Answer([json.dumps(said).encode()])) as upstream:
        config = {"kind": engine, "base_url": upstream.url, "api_key": "k"}
        async with running_gateway(one_model(config, retry={"max_attempts": 1})) as gateway:
            answer = await gateway.chat()
            assert answer.status_code >= 500
            assert reason in answer.json()["error"]["message"]
            assert "secret half" not in answer.text


async def test_an_event_of_calls_without_end_breaks_the_stream() -> None:
    parts = [{"text": "so"}, *[{"functionCall": {}}] * 500]
    said = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    frame = f"data: {json.dumps(said)}\n\n".encode()
    async with running_upstream(stream(frame)) as engine:
        async with running_gateway(one_model(gemini(engine.url), retry={"max_attempts": 1})) as gateway:
            wish = {"model": "chat", "input": "hello", "stream": True}
            answer = await gateway.http.post("/v1/responses", json=wish)
            assert len(answer.content) < 300 * 800  # each is told in 800 bytes
            assert "over 256 calls" in answer.text
            assert "response.completed" not in answer.text
            assert "answer_truncated" == (await gateway.records.of(0)).error


async def test_a_plain_answer_of_calls_without_end_is_an_error() -> None:
    said = {"candidates": [{"content": {"parts": [{"functionCall": {}}] * 300}, "finishReason": "STOP"}]}
    async with running_upstream(Answer([json.dumps(said).encode()])) as engine:
        async with running_gateway(one_model(gemini(engine.url), retry={"max_attempts": 1})) as gateway:
            answer = await gateway.chat()
            assert 502 == answer.status_code
            assert "over 256 calls" in answer.json()["error"]["message"]


async def test_an_error_before_any_content_is_an_http_error() -> None:
    async with running_upstream(stream(START, OVERLOADED)) as engine:
        async with running_gateway(one_model(claude(engine.url), retry={"max_attempts": 1})) as gateway:
            answer = await gateway.chat(stream=True)
            assert 529 == answer.status_code
            assert "too busy" in answer.json()["error"]["message"]


async def test_what_nobody_takes_is_refused_by_its_name() -> None:
    async with simulated(claude) as gateway, openai_sdk(gateway) as client:
        with pytest.raises(openai.BadRequestError) as told:
            await client.chat.completions.create(model="chat", messages=MESSAGES, logit_bias={"1": 2})
        assert ("unsupported_parameter", "logit_bias") == (told.value.code, told.value.param)
        assert 0 == (await gateway.records.of(0)).attempts


async def test_a_response_says_again_what_its_engine_was_told() -> None:
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": None}
    asked = {"tools": [tool], "instructions": "be brief", "metadata": {"ticket": "7"}, "temperature": 0.5}
    async with simulator(models=("upstream-model",)) as server:
        config = one_model(claude(str(server.base_url).rstrip("/")))
        config["models"]["chat"]["unsupported"] = "drop"
        async with running_gateway(config) as gateway:
            body = {"model": "chat", "input": "hi", "max_output_tokens": 4, **asked}
            plain = (await gateway.http.post("/v1/responses", json=body)).json()
            streamed = events_of((await gateway.http.post("/v1/responses", json={**body, "stream": True})).text)
            for response in (plain, streamed[0]["response"], streamed[-1]["response"]):
                told = {**asked, "temperature": None, "max_output_tokens": 4}  # Claude is not told how hot
                assert told == {name: response[name] for name in told}


async def test_several_choices_are_had_of_nobody_who_is_asked_in_another_format() -> None:
    async with simulated(claude) as gateway:
        answer = await gateway.chat(n=2)
        error = answer.json()["error"]
        assert (400, "unsupported_parameter", "n") == (answer.status_code, error["code"], error["param"])
        assert "no target of model 'chat' takes this request: a does not take n" == error["message"]


async def test_what_may_be_dropped_is_named() -> None:
    async with simulator(models=("upstream-model",)) as server:
        config = one_model(claude(str(server.base_url).rstrip("/")))
        config["models"]["chat"]["unsupported"] = "drop"
        async with running_gateway(config) as gateway:
            answer = await gateway.chat(logit_bias={"1": 2}, seed=4, max_tokens=3)
            assert (200, "logit_bias, seed") == (answer.status_code, answer.headers["x-penstock-dropped-params"])
            answer = await gateway.chat(n=2, max_tokens=3)
            assert (200, "n") == (answer.status_code, answer.headers["x-penstock-dropped-params"])
            answer = await gateway.chat(modalities=["text", "audio"])
            assert (400, "modalities") == (answer.status_code, answer.json()["error"]["param"])


async def test_a_target_that_cannot_take_it_is_passed_over() -> None:
    async with simulator(models=("upstream-model",)) as server:
        url = str(server.base_url).rstrip("/")
        async with running_gateway(one_model(claude(url), url)) as gateway:
            first = await gateway.chat(max_tokens=3)
            other = await gateway.chat(max_tokens=3, seed=4)
            assert ("a", "b") == (first.headers["x-penstock-engine"], other.headers["x-penstock-engine"])
            assert "1" == other.headers["x-penstock-attempts"]


async def test_a_fallback_crosses_formats() -> None:
    async with simulator(models=("upstream-model",)) as server:
        async with running_upstream(Answer([b"{}"], 503)) as broken:
            config = one_model(claude(broken.url), str(server.base_url).rstrip("/"))
            async with running_gateway(config) as gateway:
                answer = await gateway.chat(max_tokens=3)
                assert (200, "b", "2") == (
                    answer.status_code,
                    answer.headers["x-penstock-engine"],
                    answer.headers["x-penstock-attempts"],
                )


async def test_what_is_no_request_is_refused_with_its_place() -> None:
    async with simulated(claude) as gateway:
        answer = await gateway.http.post(
            "/v1/chat/completions", json={"model": "chat", "messages": [{"role": "user", "content": [4]}]}
        )
        assert (400, "messages") == (answer.status_code, answer.json()["error"]["param"])
        assert "`messages[0].content[0]` should be an object" in answer.json()["error"]["message"]


async def test_openais_responses_come_from_a_claude() -> None:
    async with simulated(claude, mode="echo") as gateway, openai_sdk(gateway) as client:
        response = await client.responses.create(model="chat", input=LONG, max_output_tokens=4)
        assert ("incomplete", 4) == (response.status, response.usage and response.usage.output_tokens)
        assert response.incomplete_details is not None
        assert "max_output_tokens" == response.incomplete_details.reason
        stream = await client.responses.create(model="chat", input=LONG, max_output_tokens=4, stream=True)
        said: list[Any] = [event async for event in stream]
        assert list(range(len(said))) == [event.sequence_number for event in said]
        assert ("response.created", "response.incomplete") == (said[0].type, said[-1].type)
        assert response.output_text == said[-1].response.output_text
        assert response.output_text == "".join(
            event.delta for event in said if event.type == "response.output_text.delta"
        )
        record = await gateway.records.of(1)
        assert ("/v1/responses", "length", "") == (record.operation, record.finish_reason, record.error)


async def test_a_response_calls_a_tool_of_a_chat_engine() -> None:
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA}]
    wish: Any = {"model": "chat", "input": "hello", "tools": tools, "tool_choice": "required"}
    async with simulated(chats) as gateway, openai_sdk(gateway) as client:
        response = await client.responses.create(**wish)
        call: Any = response.output[-1]
        assert ("completed", "function_call", "weather") == (response.status, call.type, call.name)
        async with client.responses.stream(**wish) as stream:
            final = await stream.get_final_response()
        streamed: Any = final.output[-1]
        assert call.arguments == streamed.arguments
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        turns: Any = [{"role": "user", "content": "hello"}, call.to_dict(), output]
        again = await client.responses.create(model="chat", input=turns, max_output_tokens=3)
        assert "incomplete" == again.status


async def test_a_response_that_follows_another_is_refused_where_nothing_is_kept() -> None:
    async with simulated(claude) as gateway, openai_sdk(gateway) as client:
        with pytest.raises(openai.BadRequestError) as told:
            await client.responses.create(model="chat", input="on", previous_response_id="resp_1")
        assert ("unsupported_parameter", "previous_response_id") == (told.value.code, told.value.param)


async def test_tokens_are_counted_by_who_can() -> None:
    async with running_upstream(Answer([b'{"input_tokens":14}'])) as engine:
        async with running_gateway(one_model(claude(engine.url))) as gateway, anthropic_sdk(gateway) as client:
            counted = await client.messages.count_tokens(model="chat", messages=MESSAGES)
            assert (14, "/v1/messages/count_tokens") == (counted.input_tokens, engine.received[0].path)
            record = await gateway.records.of(0)
            assert ("/v1/messages/count_tokens", "", None) == (record.operation, record.error, record.input_tokens)
