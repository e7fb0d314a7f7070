"""A client that goes away, streaming or not, frees real vLLM at once.

Left alone, a whole answer of 4000 tokens takes vLLM some seconds. vLLM counts nothing for an aborted one
(`finished_reason="abort"` stays 0), so the proof is: it runs nothing, and fewer tokens were made than were asked for.
Finished requests prove nothing: vLLM counts one after its answer has left, so that of the test before may come late.

On a busy machine vLLM's engine may have made the whole answer before its own server has told the first tokens of it.
Such a try proves nothing either way, and is made again; where nobody is freed, no try of several is cut short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import openai
import pytest

from tests.vllm.stack import GENERATED, KEY, RUNNING, metric, until

pytestmark = pytest.mark.vllm

TOKENS = 4000
TRIES = 15
ENDLESS = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": TOKENS,
    "ignore_eos": True,
}

FreesVllm = Callable[[Callable[[], None]], None]


@pytest.fixture
def frees_vllm(vllm_url: str) -> FreesVllm:
    """Checks that a client which asks and leaves cuts its answer short."""

    def check(ask_and_leave: Callable[[], None]) -> None:
        for _ in range(TRIES):
            before = metric(vllm_url, GENERATED)
            ask_and_leave()
            until(lambda: metric(vllm_url, RUNNING) == 0, 60, "vLLM runs nothing")
            made = metric(vllm_url, GENERATED) - before
            assert made > 0
            if made < TOKENS:
                return
        pytest.fail(f"{TRIES} answers of {TOKENS} tokens were made whole for clients that had left")

    return check


def test_a_stream_closed_by_the_client_frees_vllm(client: openai.OpenAI, frees_vllm: FreesVllm) -> None:
    def ask_and_leave() -> None:
        with client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "hello"}],
            max_tokens=TOKENS,
            stream=True,
            extra_body={"ignore_eos": True},
        ) as stream:
            for _, chunk in zip(range(5), stream, strict=False):
                assert chunk.choices

    frees_vllm(ask_and_leave)


def test_a_responses_stream_closed_by_the_client_frees_vllm(client: openai.OpenAI, frees_vllm: FreesVllm) -> None:
    def ask_and_leave() -> None:
        with client.responses.create(
            model="tiny", input="hello", max_output_tokens=TOKENS, stream=True, extra_body={"ignore_eos": True}
        ) as stream:
            for _ in zip(range(8), stream, strict=False):
                pass

    frees_vllm(ask_and_leave)


def test_a_plain_request_given_up_by_the_client_frees_vllm(
    gateway_url: str, vllm_url: str, frees_vllm: FreesVllm
) -> None:
    async def ask_and_leave() -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=gateway_url, headers=headers, timeout=60) as http:
            call = asyncio.ensure_future(http.post("/v1/chat/completions", json=ENDLESS))
            try:
                await asyncio.to_thread(
                    until, lambda: call.done() or metric(vllm_url, RUNNING) == 1, 20, "vLLM runs the request"
                )
            finally:
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)

    frees_vllm(lambda: asyncio.run(ask_and_leave()))
