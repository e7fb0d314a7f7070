"""The real SDKs against the whole gateway: what an application's code does after one `base_url` has changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest

from engines.simulator.failures import FailureKind
from tests.engines.simulator.conftest import simulator
from tests.scenario.gateway import HELLO, KEY, Gateway, one_model, running_gateway
from tests.scenario.upstream import End, refusal, running_upstream, stream

pytestmark = pytest.mark.anyio

MESSAGES: Any = HELLO
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


@asynccontextmanager
async def simulated(**knobs: Any) -> AsyncIterator[Gateway]:
    """A gateway in front of one simulated vLLM."""
    async with simulator(models=("upstream-model",), **knobs) as engine:
        async with running_gateway(one_model(str(engine.base_url).rstrip("/"))) as gateway:
            yield gateway


@asynccontextmanager
async def sdk(gateway: Gateway, **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    options = {"api_key": KEY, "max_retries": 0, **options}
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", **options) as client:
        yield client


async def test_plain_and_streamed_chat() -> None:
    async with simulated() as gateway, sdk(gateway) as client:
        raw = await client.chat.completions.with_raw_response.create(model="chat", messages=MESSAGES, max_tokens=5)
        answer = raw.parse()
        assert ("length", 5) == (answer.choices[0].finish_reason, answer.usage and answer.usage.completion_tokens)
        assert ("a", "1") == (raw.headers["x-penstock-engine"], raw.headers["x-penstock-attempts"])
        stream = await client.chat.completions.create(
            model="chat", messages=MESSAGES, max_tokens=5, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert ["length"] == [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
        last = chunks[-1]
        assert ([], 5) == (last.choices, last.usage and last.usage.completion_tokens)


async def test_the_blocking_client_in_a_thread() -> None:
    def ask(url: str) -> str | None:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            with client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=3, stream=True) as stream:
                reasons = [chunk.choices[0].finish_reason for chunk in stream if chunk.choices]
            return reasons[-1]

    async with simulated() as gateway:
        assert "length" == await asyncio.to_thread(ask, gateway.url)


async def test_a_tool_call_plain_and_in_fragments() -> None:
    async with simulated() as gateway, sdk(gateway) as client:
        asked: Any = {"model": "chat", "messages": MESSAGES, "tools": TOOLS, "tool_choice": "required"}
        answer = await client.chat.completions.create(**asked)
        assert "tool_calls" == answer.choices[0].finish_reason
        call: Any = (answer.choices[0].message.tool_calls or [])[0]
        assert "weather" == call.function.name
        assert ["city"] == list(json.loads(call.function.arguments))
        deltas = [
            delta.function
            async for chunk in await client.chat.completions.create(**asked, stream=True)
            for choice in chunk.choices
            for delta in choice.delta.tool_calls or ()
        ]
        assert ["weather"] == [delta.name for delta in deltas if delta and delta.name]
        fragments = [delta.arguments for delta in deltas if delta and delta.arguments]
        assert len(fragments) > 1
        assert ["city"] == list(json.loads("".join(fragments)))


async def test_the_other_operations() -> None:
    async with simulated() as gateway, sdk(gateway) as client:
        legacy = await client.completions.create(model="chat", prompt="hello", max_tokens=4)
        assert 4 == (legacy.usage and legacy.usage.completion_tokens)
        embedded = await client.embeddings.create(model="chat", input=["a", "b"], encoding_format="float")
        assert 2 == len(embedded.data)
        response = await client.responses.create(model="chat", input="hello", max_output_tokens=4)
        assert 4 == (response.usage and response.usage.output_tokens)
        kinds = [
            event.type
            async for event in await client.responses.create(
                model="chat", input="hello", max_output_tokens=4, stream=True
            )
        ]
        assert ("response.created", "response.completed") == (kinds[0], kinds[-1])
        listed = [model.id async for model in await client.models.list()]
        assert (["chat"], "chat") == (listed, (await client.models.retrieve("chat")).id)


async def test_anthropic_messages_plain_and_streamed() -> None:
    async with (
        simulated() as gateway,
        anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client,
    ):
        message = await client.messages.create(model="chat", max_tokens=4, messages=MESSAGES)
        assert ("max_tokens", 4) == (message.stop_reason, message.usage.output_tokens)
        async with client.messages.stream(model="chat", max_tokens=4, messages=MESSAGES) as stream:
            final = await stream.get_final_message()
        assert ("max_tokens", 4) == (final.stop_reason, final.usage.output_tokens)
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(model="chta", max_tokens=4, messages=MESSAGES)


async def test_errors_become_the_exceptions_that_applications_catch() -> None:
    async with simulated() as gateway:
        async with sdk(gateway) as client:
            with pytest.raises(openai.NotFoundError) as unknown:
                await client.chat.completions.create(model="chta", messages=MESSAGES)
            assert ("model_not_found", "model") == (unknown.value.code, unknown.value.param)
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=10**9)
        async with sdk(gateway, api_key="sk-wrong") as stranger:
            with pytest.raises(openai.AuthenticationError):
                await stranger.models.list()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(FailureKind.RATE_LIMIT, openai.RateLimitError), (FailureKind.SERVER_ERROR, openai.InternalServerError)],
)
async def test_an_engines_failure_keeps_its_class(kind: FailureKind, expected: type[Exception]) -> None:
    async with simulated(failure_rate=1.0, failure_kinds=(kind,)) as gateway, sdk(gateway) as client:
        with pytest.raises(expected):
            await client.chat.completions.create(model="chat", messages=MESSAGES)


def response_event(kind: str, number: int, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **members})}\n\n".encode()


@pytest.mark.parametrize("ending", ["cut", "flat"])
async def test_a_response_that_fails_in_its_stream_raises(ending: str) -> None:
    delta = response_event("response.output_text.delta", 4, delta="a", item_id="m", output_index=0, content_index=0)
    flat = b'event: error\ndata: {"type":"error","code":"server_error","message":"it broke","param":null}\n\n'
    answer = stream(delta, *([End.CLOSE] if ending == "cut" else [flat]))
    seen: list[str] = []

    async def read(events: openai.AsyncStream[Any]) -> None:
        async for event in events:
            seen.append(event.type)  # noqa: PERF401 - it raises on the way

    async with running_upstream(answer) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway, sdk(gateway) as client:
            events = await client.responses.create(model="chat", input="hello", stream=True)
            with pytest.raises(openai.APIError, match="it broke" if ending == "flat" else "model 'chat'"):
                await read(events)
    assert ["response.output_text.delta"] == seen


class Unhurried(openai.AsyncOpenAI):
    """Notes how long it would wait before each retry, and does not."""

    waits: list[float]

    def _calculate_retry_timeout(self, remaining_retries: int, options: Any, response_headers: Any = None) -> float:
        self.waits.append(super()._calculate_retry_timeout(remaining_retries, options, response_headers))
        return 0.0


@pytest.mark.parametrize("status", [429, 503, 529])
async def test_when_every_engine_is_limited_only_the_sdk_waits_as_it_would_without_us(status: int) -> None:
    limited = refusal(status, "slow down", ("retry-after", "1"))
    waits: dict[str, list[float]] = {}
    async with running_upstream(limited) as one, running_upstream(limited) as two:
        async with running_gateway(one_model(one.url, two.url)) as gateway:
            for url in (one.url, gateway.url):
                async with Unhurried(base_url=f"{url}/v1", api_key=KEY, max_retries=2) as client:
                    waits[url] = client.waits = []
                    with pytest.raises(openai.APIStatusError) as raised:
                        await client.chat.completions.create(model="chat", messages=MESSAGES)
                    assert status == raised.value.status_code
            attempts = [record.attempts for record in gateway.records.all]
    assert [1.0, 1.0] == waits[one.url] == waits[gateway.url]
    assert [2, 2, 2] == attempts  # both engines, each once, and nothing waited for in between
    assert [3 + 3, 3] == [len(one.received), len(two.received)]


async def test_a_stream_that_breaks_raises_in_the_loop_that_reads_it() -> None:
    async with (
        simulated(failure_rate=1.0, failure_kinds=(FailureKind.STREAM_ERROR,)) as gateway,
        sdk(gateway) as client,
    ):
        with pytest.raises(openai.APIError):
            async for _ in await client.chat.completions.create(
                model="chat", messages=MESSAGES, max_tokens=20, stream=True
            ):
                pass


async def test_an_sdk_whose_time_is_up_leaves_and_so_frees_the_engine() -> None:
    async with simulated(failure_rate=1.0, failure_kinds=(FailureKind.HANG,)) as gateway, sdk(gateway) as client:
        soon = openai.Timeout(60, read=0.2)  # once the request is sent
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model="chat", messages=MESSAGES, timeout=soon)
        record = await gateway.records.of()
        assert (499, "client_gone") == (record.status, record.error)
