"""A stream that another engine began, taken up by a real vLLM: its own template, its own counting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from tests.scenario.gateway import KEY, one_model, running_gateway
from tests.scenario.test_retry import ROUND_ROBIN
from tests.scenario.upstream import End, chunk, event, running_upstream, stream

pytestmark = [pytest.mark.vllm, pytest.mark.anyio]

MESSAGES: Any = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def forwarded(url: str) -> AsyncIterator[str]:
    """The same server at another port, whose connections end with the block: vLLM itself keeps them."""
    parts = urlsplit(url)
    writers: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        writers.extend((writer, back))
        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        for writer in writers:
            await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])
        for _ in range(20):  # and whoever was connected hears of it
            await asyncio.sleep(0)


def over(dying: str, vllm_url: str) -> dict[str, Any]:
    config = one_model([dying, vllm_url])
    config["models"]["chat"] |= ROUND_ROBIN | {"continuation": {"enabled": True}}
    config["models"]["chat"]["targets"][0]["model"] = "tiny"
    return config


async def test_a_chat_is_taken_up_in_the_middle_of_its_message(vllm_url: str) -> None:
    dying = stream(chunk("The river"), chunk(" rises"), End.RESET)
    async with (
        running_upstream(dying) as upstream,
        forwarded(vllm_url) as vllm,
        running_gateway(over(upstream.url, vllm)) as gateway,
    ):
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
            answer = await client.chat.completions.create(
                model="chat",
                messages=MESSAGES,
                max_tokens=12,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"ignore_eos": True},
            )
            chunks = [one async for one in answer]
        record = gateway.records.all[-1]
    assert len(upstream.received) == 1
    said = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert said.startswith("The river rises")
    assert len(said) > len("The river rises")
    assert {one.id for one in chunks} == {"chatcmpl-1"}
    assert [one.choices[0].finish_reason for one in chunks if one.choices][-1] == "length"
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == 12
    assert usage.total_tokens == usage.prompt_tokens + 12
    assert (record.status, record.error, record.attempts) == (200, "", 2)
    assert record.replica == vllm.removeprefix("http://")


async def test_a_completion_is_taken_up_too(vllm_url: str) -> None:
    def piece(text: str) -> bytes:
        return event({"id": "cmpl-1", "choices": [{"index": 0, "text": text, "finish_reason": None}]})

    dying = stream(piece(" upon"), piece(" a"), End.RESET)
    async with (
        running_upstream(dying) as upstream,
        forwarded(vllm_url) as vllm,
        running_gateway(over(upstream.url, vllm)) as gateway,
    ):
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
            answer = await client.completions.create(
                model="chat", prompt="Once", max_tokens=9, stream=True, extra_body={"ignore_eos": True}
            )
            chunks = [one async for one in answer]
    assert len(upstream.received) == 1
    assert "".join(one.choices[0].text for one in chunks).startswith(" upon a")
    assert {one.id for one in chunks} == {"cmpl-1"}
    assert chunks[-1].choices[0].finish_reason == "length"
    assert (chunks[-1].model_extra or {})["penstock"] == {"continued": 1, "after_tokens": 2}
