"""Clients of OpenAI's chat and responses and of Anthropic's messages, each in front of each fake provider.

The fakes refuse what the real ones would, and know nothing of the gateway.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest

from engines.fakes.app import FakeApp
from engines.fakes.limits import Limits
from engines.fakes.roster import PROVIDERS
from engines.serving import Bound
from tests.scenario.gateway import AUTH, KEY, Gateway, running_gateway

pytestmark = pytest.mark.anyio

MODELS = {
    "openai": "gpt-5-mini",
    "anthropic": "claude-opus-5",
    "gemini": "gemini-3-flash",
    "cohere": "command-a-03-2025",
    "mistral": "mistral-large-latest",
    "ai21": "jamba-large",
    "bedrock": "eu.anthropic.claude-opus-5-v1:0",
}
TEXT = "what do you say of three rivers and a lake"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="


def engine(name: str, url: str) -> dict[str, Any]:
    if name in ("openai", "mistral", "ai21"):
        base = f"{url}/studio/v1" if name == "ai21" else f"{url}/v1"
        section = {"kind": "openai", "provider": name, "base_url": base}
        return section | {"operations": ["chat"]} if name == "openai" else section
    return {"kind": name, "base_url": f"{url}/v1beta" if name == "gemini" else url}


@asynccontextmanager
async def served(name: str) -> AsyncIterator[str]:
    """The URL of a fake provider in the test's own event loop."""
    stop, listening = asyncio.Event(), asyncio.Event()
    with Bound("127.0.0.1", 0) as bound:
        async with asyncio.TaskGroup() as group:
            app = FakeApp(PROVIDERS[name](), Limits(), frozenset())
            group.create_task(bound.serve(app, stop, server_name="fake", on_listening=lambda _: listening.set()))
            await listening.wait()
            try:
                yield bound.url
            finally:
                stop.set()


ONCE = {"max_attempts": 1}
SCRIPTS = (
    *("unknown-event", "unknown-finish", "unfinished", "error-mid-stream", "rate-limited", "too-long", "refusal"),
    "interleaved",
)


@asynccontextmanager
async def everybody(name: str, *, translated: bool = True) -> AsyncIterator[Gateway]:
    """A provider's model under the provider's name, and with each script. `translated`: OpenAI chats alone."""
    model = MODELS[name]
    models = {name: {"targets": [{"engine": name, "model": model}]}}
    for script in SCRIPTS:
        models[f"{name}-{script}"] = {"targets": [{"engine": name, "model": f"{model}-fake-{script}"}]}
    async with served(name) as url:
        engines = {name: engine(name, url) | {"api_key": "key-of-the-engine"}}
        if not translated:
            engines[name].pop("operations", None)
        async with running_gateway({"auth": AUTH, "engines": engines, "models": models, "retry": ONCE}) as gateway:
            yield gateway


@asynccontextmanager
async def chats(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@asynccontextmanager
async def messages(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        yield client


def tool(name: str) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA}}


@pytest.mark.parametrize("name", MODELS)
async def test_a_chat_plain_and_streamed(name: str) -> None:
    async with everybody(name) as gateway, chats(gateway) as client:
        said: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": TEXT}]
        plain = await client.chat.completions.create(model=name, messages=said)
        stream = await client.chat.completions.create(
            model=name, messages=said, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert f"You said: {TEXT}" == plain.choices[0].message.content == text
        assert "stop" == plain.choices[0].finish_reason
        assert plain.usage is not None
        last = chunks[-1].usage
        assert last is not None
        assert plain.usage.completion_tokens == last.completion_tokens > 0
        record = await gateway.records.of(1)
        assert (last.prompt_tokens, "reported") == (record.input_tokens, record.usage_source)


@pytest.mark.parametrize("name", MODELS)
async def test_parallel_calls_and_their_results(name: str) -> None:
    async with everybody(name) as gateway, chats(gateway) as client:
        said: Any = [{"role": "user", "content": "weather and weather and time please"}]
        wish: Any = {"model": name, "tools": [tool("weather"), tool("time")]}
        plain = await client.chat.completions.create(messages=said, **wish)
        calls: Any = plain.choices[0].message.tool_calls
        assert ("tool_calls", ["weather", "weather", "time"]) == (
            plain.choices[0].finish_reason,
            [call.function.name for call in calls],
        )
        assert 3 == len({call.id for call in calls})
        async with client.chat.completions.stream(messages=said, **wish) as stream:
            streamed: Any = (await stream.get_final_completion()).choices[0].message.tool_calls
        assert [call.function.arguments for call in calls] == [call.function.arguments for call in streamed]
        assert all(isinstance(json.loads(call.function.arguments), dict) for call in calls)
        said.append(plain.choices[0].message.to_dict())
        said += [{"role": "tool", "tool_call_id": call.id, "content": f"sunny {at}"} for at, call in enumerate(calls)]
        answer = await client.chat.completions.create(messages=said, **wish)
        assert "sunny 0" in str(answer.choices[0].message.content)
        assert "stop" == answer.choices[0].finish_reason


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ai21"])
async def test_a_schema_and_an_image(name: str) -> None:
    async with everybody(name) as gateway, chats(gateway) as client:
        strict = {
            "type": "object",
            "properties": {"x": {"type": "string"}},
            "required": ["x"],
            "additionalProperties": False,
        }
        schema: Any = {"type": "json_schema", "json_schema": {"name": "s", "schema": strict, "strict": True}}
        told = await client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": TEXT}], response_format=schema
        )
        assert {"x"} == json.loads(told.choices[0].message.content or "").keys()
        image: Any = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        content: Any = [{"type": "text", "text": "look"}, image]
        seen = await client.chat.completions.create(model=name, messages=[{"role": "user", "content": content}])
        assert "image" in str(seen.choices[0].message.content)


@pytest.mark.parametrize("name", MODELS)
async def test_a_message_plain_and_streamed_and_its_calls(name: str) -> None:
    async with everybody(name) as gateway, messages(gateway) as client:
        wish: Any = {"model": name, "max_tokens": 300, "messages": [{"role": "user", "content": TEXT}]}
        plain = await client.messages.create(**wish, system="be brief")
        async with client.messages.stream(**wish, system="be brief") as stream:
            final = await stream.get_final_message()
        said: Any = plain.content[-1]
        again: Any = final.content[-1]
        assert (f"You said: {TEXT}", "end_turn") == (said.text, plain.stop_reason)
        assert (said.text, "end_turn", plain.usage.output_tokens) == (
            again.text,
            final.stop_reason,
            final.usage.output_tokens,
        )
        tools: Any = [{"name": "weather", "input_schema": SCHEMA}]
        turns: Any = [{"role": "user", "content": "weather and weather"}]
        called = await client.messages.create(model=name, max_tokens=300, tools=tools, messages=turns)
        calls: Any = [block for block in called.content if block.type == "tool_use"]
        assert ("tool_use", 2) == (called.stop_reason, len(calls))
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls]
        turns += [{"role": "assistant", "content": called.content}, {"role": "user", "content": results}]
        answer = await client.messages.create(model=name, max_tokens=300, tools=tools, messages=turns)
        assert "sunny" in str(answer.content)


@pytest.mark.parametrize("name", MODELS)
async def test_a_response_plain_and_streamed(name: str) -> None:
    async with everybody(name) as gateway, chats(gateway) as client:
        plain = await client.responses.create(model=name, input=TEXT, instructions="be brief")
        async with client.responses.stream(model=name, input=TEXT, instructions="be brief") as stream:
            final = await stream.get_final_response()
        assert f"You said: {TEXT}" == plain.output_text == final.output_text
        assert "completed" == plain.status


THINKERS = ("anthropic", "bedrock", "gemini", "mistral", "cohere")


@pytest.mark.parametrize("name", THINKERS)
async def test_what_was_thought_comes_back_unchanged(name: str) -> None:
    async with everybody(name) as gateway, chats(gateway) as client:
        said: Any = [{"role": "user", "content": "weather and weather"}]
        wish: Any = {"model": name, "tools": [tool("weather")], "reasoning_effort": "high"}
        plain = await client.chat.completions.create(messages=said, **wish)
        message = plain.choices[0].message.to_dict()
        assert message.get("reasoning_content")
        said.append(message)
        calls: Any = plain.choices[0].message.tool_calls
        said += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
        answer = await client.chat.completions.create(messages=said, **wish)
        assert "sunny" in str(answer.choices[0].message.content)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "openai"])
@pytest.mark.parametrize("script", ["unknown-event", "unknown-finish", "unfinished", "error-mid-stream"])
async def test_a_stream_that_is_none_never_claims_success(name: str, script: str) -> None:
    async with everybody(name) as gateway:
        said = [{"role": "user", "content": TEXT}]
        answer = await gateway.chat(f"{name}-{script}", messages=said, stream=True)
        record = await gateway.records.of(0)
    assert "[DONE]" not in answer.text
    assert "error" in answer.text
    assert record.error != ""
    wanted = {"unknown-event": "unknown_event", "unknown-finish": "unknown_finish_reason"}.get(script)
    assert wanted in (None, record.error)


@pytest.mark.parametrize("name", MODELS)
async def test_refusals_are_told_in_each_clients_words(name: str) -> None:
    async with everybody(name) as gateway, chats(gateway) as client:
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(
                model=f"{name}-rate-limited", messages=[{"role": "user", "content": "x"}]
            )
        with pytest.raises(openai.BadRequestError) as told:  # whatever status its provider has for it
            await client.chat.completions.create(model=f"{name}-too-long", messages=[{"role": "user", "content": "x"}])
        assert "context_length_exceeded" == told.value.code
    async with everybody(name) as gateway, messages(gateway) as client:
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(
                model=f"{name}-rate-limited", max_tokens=9, messages=[{"role": "user", "content": "x"}]
            )


@pytest.mark.parametrize("name", ["anthropic", "gemini", "bedrock", "openai"])
async def test_tokens_are_counted_where_the_provider_counts_them(name: str) -> None:
    async with everybody(name, translated=False) as gateway, messages(gateway) as client:
        tools: Any = [{"name": "weather", "input_schema": SCHEMA}]
        wish: Any = {"model": name, "system": "be brief", "messages": [{"role": "user", "content": TEXT}]}
        short = await client.messages.count_tokens(**wish)
        long = await client.messages.count_tokens(**wish, tools=tools)
        record = await gateway.records.of(1)
    assert 0 < short.input_tokens < long.input_tokens
    assert ("/v1/messages/count_tokens", "", name, 0) == (
        record.operation,
        record.error,
        record.engine,
        record.output_tokens or 0,
    )
