"""A client that goes away, streaming or not, frees real vLLM at once.

Left alone, a whole answer of 4000 tokens takes vLLM some seconds. vLLM counts nothing for an aborted one
(`finished_reason="abort"` stays 0), so the proof is: it runs nothing, and fewer tokens were made than were asked for.
Finished requests prove nothing: vLLM counts one after its answer has left, so that of the test before may come late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import openai
import pytest

from tests.vllm.stack import GENERATED, KEY, RUNNING, metric, until

pytestmark = pytest.mark.vllm

ENDLESS = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 4000,
    "ignore_eos": True,
}


@pytest.fixture
def vllm_was_freed(vllm_url: str) -> Callable[[], None]:
    """Checks that what vLLM has run since the test began was cut off."""
    generated = metric(vllm_url, GENERATED)

    def check() -> None:
        until(lambda: metric(vllm_url, RUNNING) == 0, 20, "vLLM runs nothing")
        assert 0 < metric(vllm_url, GENERATED) - generated < 4000

    return check


def test_a_stream_closed_by_the_client_frees_vllm(client: openai.OpenAI, vllm_was_freed: Callable[[], None]) -> None:
    with client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "hello"}],
        max_tokens=4000,
        stream=True,
        extra_body={"ignore_eos": True},
    ) as stream:
        for _, chunk in zip(range(5), stream, strict=False):
            assert chunk.choices
    vllm_was_freed()


def test_a_responses_stream_closed_by_the_client_frees_vllm(
    client: openai.OpenAI, vllm_was_freed: Callable[[], None]
) -> None:
    with client.responses.create(
        model="tiny", input="hello", max_output_tokens=4000, stream=True, extra_body={"ignore_eos": True}
    ) as stream:
        for _ in zip(range(8), stream, strict=False):
            pass
    vllm_was_freed()


@pytest.mark.anyio
async def test_a_plain_request_given_up_by_the_client_frees_vllm(
    gateway_url: str, vllm_url: str, vllm_was_freed: Callable[[], None]
) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=gateway_url, headers=headers, timeout=60) as http:
        call = asyncio.ensure_future(http.post("/v1/chat/completions", json=ENDLESS))
        try:
            await asyncio.to_thread(until, lambda: metric(vllm_url, RUNNING) == 1, 5, "vLLM runs the request")
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
    assert call.cancelled()
    await asyncio.to_thread(vllm_was_freed)
