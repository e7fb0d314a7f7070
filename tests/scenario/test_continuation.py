"""A stream outlives its engine: what an application sees through the real SDK while replicas die under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest

from engines.simulator.failures import FailureKind
from tests.engines.simulator.conftest import simulator
from tests.scenario.gateway import Gateway, one_model, running_gateway
from tests.scenario.test_hedging import running, url_of
from tests.scenario.test_retry import ROUND_ROBIN
from tests.scenario.test_sdks import sdk

pytestmark = pytest.mark.anyio

STORY = "In spring the snow melts, and the river rises over the old stone wall until the mill can work again."
ASKED: Any = [{"role": "system", "content": "repeat"}, {"role": "user", "content": STORY}]
DEATHS = (FailureKind.DISCONNECT_MID_STREAM, FailureKind.STREAM_ERROR, FailureKind.TRUNCATED)


@asynccontextmanager
async def two_replicas(
    death: FailureKind, mode: str = "echo", enabled: bool = True
) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    """A gateway over a replica that dies half-way through each answer, which is asked first, and one that is well."""
    knobs: Any = {"models": ("upstream-model",), "mode": mode}
    async with simulator(failure_rate=1.0, failure_kinds=(death,), **knobs) as dying, simulator(**knobs) as well:
        config = one_model([url_of(dying), url_of(well)])
        config["models"]["chat"] |= ROUND_ROBIN | {"continuation": {"enabled": enabled}}
        async with running_gateway(config) as gateway:
            yield gateway, well
        assert [await running(engine) for engine in (dying, well)] == [0.0, 0.0]


@pytest.mark.parametrize("death", DEATHS)
async def test_the_application_reads_one_whole_answer(death: FailureKind) -> None:
    async with two_replicas(death) as (gateway, well), sdk(gateway) as client:
        stream = await client.chat.completions.create(
            model="chat", messages=ASKED, stream=True, stream_options={"include_usage": True}, max_tokens=500
        )
        chunks = [chunk async for chunk in stream]
        metrics = await gateway.metrics()
        record = gateway.records.all[-1]
        alone = (await well.post("/v1/chat/completions", json={"messages": ASKED})).json()
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == STORY == alone["choices"][0]["message"]["content"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices][1:] == [None] * (len(chunks) - 2)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    usage = chunks[-1].usage
    assert usage is not None
    counts = usage.model_dump(include={"prompt_tokens", "completion_tokens", "total_tokens"})
    assert counts == {name: alone["usage"][name] for name in counts}
    assert (chunks[-1].model_extra or {})["penstock"]["continued"] == 1
    assert metrics.labelled("penstock_continuations_total", "model", "result") == {("chat", "continued"): 1.0}
    assert metrics.value("penstock_prompts_held_bytes") == 0
    assert (record.status, record.error, record.attempts) == (200, "", 2)
    assert (record.input_tokens, record.output_tokens) == (usage.prompt_tokens, usage.completion_tokens)


async def test_both_engines_together_make_as_many_tokens_as_were_asked_for() -> None:
    async with two_replicas(FailureKind.DISCONNECT_MID_STREAM, mode="random") as (gateway, _), sdk(gateway) as client:
        stream = await client.completions.create(
            model="chat", prompt="Once", max_tokens=41, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].text for chunk in chunks if chunk.choices and chunk.choices[0].text]
    assert len(pieces) == 41
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == 41
    assert usage.total_tokens == usage.prompt_tokens + 41
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_call_of_a_tool_is_not_continued_and_raises_as_ever() -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    async with two_replicas(FailureKind.DISCONNECT_MID_STREAM) as (gateway, _), sdk(gateway) as client:
        with pytest.raises(openai.APIError):
            async for _ in await client.chat.completions.create(
                model="chat", messages=ASKED, tools=[tool], stream=True
            ):
                pass
        metrics = await gateway.metrics()
    assert metrics.labelled("penstock_streams_not_continued_total", "reason") == {("tools",): 1.0}


async def test_without_the_setting_the_stream_ends_in_an_error() -> None:
    async with two_replicas(FailureKind.DISCONNECT_MID_STREAM, enabled=False) as (gateway, _), sdk(gateway) as client:
        with pytest.raises(openai.APIError):
            async for _ in await client.chat.completions.create(model="chat", messages=ASKED, stream=True):
                pass
        metrics = await gateway.metrics()
    assert metrics.labelled("penstock_streams_not_continued_total", "reason") == {}


async def test_many_streams_of_one_replica_all_go_on_and_no_prompt_stays() -> None:
    async with two_replicas(FailureKind.DISCONNECT_MID_STREAM) as (gateway, _), sdk(gateway) as client:

        async def ask(number: int) -> tuple[str, str]:
            text = f"{number}: {STORY}"
            stream = await client.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": text}], stream=True
            )
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return text, "".join(parts)

        for asked, said in await asyncio.gather(*[ask(number) for number in range(16)]):
            assert said == asked
        metrics = await gateway.metrics()
        twice = [record for record in gateway.records.all if record.attempts == 2]
    assert metrics.value("penstock_continuations_total", result="continued") == len(twice) > 4
    assert metrics.value("penstock_prompts_held_bytes") == 0
