"""What a request leaves behind when it is settled: nothing that waits for the garbage collector, whatever way it went.

The collector is off while requests are answered, and then keeps what it finds: none of that may be the gateway's.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest

from tests.scenario.gateway import Gateway, one_model, running_gateway
from tests.scenario.test_media import SOUND, TOLD, document, transcribe
from tests.scenario.test_shadow import OTHER, shadowed
from tests.scenario.test_unary_formats import EMBEDDED
from tests.scenario.upstream import WHOLE_STREAM, Answer, plain, running_upstream, stream

pytestmark = pytest.mark.anyio

TIMES = 5
OURS = ("engines.", "gateway.", "routing.")
PARTS = b'{"candidates":[{"content":{"parts":[{"text":"hello"}],"role":"model"},"finishReason":"STOP","index":0}]}'
REFUSED = b'{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}'
SSE = (("content-type", "text/event-stream"),)
MPEG = (("content-type", "audio/mpeg"),)

MANY = [{"role": "user", "content": "hello, how are you?"}] * 1000

Ask = Callable[[Gateway], Awaitable[httpx.Response]]


def of_gemini(url: str) -> dict[str, Any]:
    return one_model({"kind": "gemini", "base_url": url, "api_key": "k-of-the-engine"})


@asynccontextmanager
async def alone(said: Answer, config: Callable[[str], dict[str, Any]] = one_model) -> AsyncIterator[Gateway]:
    async with running_upstream(said) as upstream, running_gateway(config(upstream.url)) as gateway:
        yield gateway


@asynccontextmanager
async def beside(said: Answer, copied: Answer) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running_upstream(said))
        two = await stack.enter_async_context(running_upstream(copied))
        yield await stack.enter_async_context(running_gateway(shadowed(one.url, two.url)))


def chats(**fields: Any) -> Ask:
    return lambda gateway: gateway.chat(**fields)


def embeds(gateway: Gateway) -> Awaitable[httpx.Response]:
    return gateway.http.post("/v1/embeddings", json={"model": "chat", "input": ["a", "b"]})


def speaks(gateway: Gateway) -> Awaitable[httpx.Response]:
    body = {"model": "chat", "input": "hello", "voice": "alloy"}
    return gateway.http.post("/v1/audio/speech", json=body)


WAYS: dict[str, tuple[Callable[[], Any], Ask, int, int]] = {
    "plain": (lambda: alone(plain()), chats(), 200, 1),
    "streamed": (lambda: alone(stream(*WHOLE_STREAM)), chats(stream=True), 200, 1),
    "translated": (lambda: alone(Answer((PARTS,)), of_gemini), chats(), 200, 1),
    "translated, large": (
        lambda: alone(Answer((PARTS.replace(b"hello", b"x" * 600_000),)), of_gemini),
        chats(),
        200,
        1,
    ),
    "over 1 MiB": (lambda: alone(plain()), chats(messages=[{"role": "user", "content": "x" * 1_100_000}]), 200, 1),
    "translated in turns": (lambda: alone(Answer((PARTS,)), of_gemini), chats(messages=MANY), 200, 1),
    "translated in turns, streamed": (
        lambda: alone(Answer((b"data: " + PARTS + b"\n\n",), headers=SSE), of_gemini),
        chats(messages=MANY, stream=True),
        200,
        1,
    ),
    "translated in turns, refused": (
        lambda: alone(Answer((PARTS,)), of_gemini),
        chats(messages=[*MANY, {"role": "tool", "tool_call_id": "nobody's", "content": "x"}]),
        400,
        1,
    ),
    "translated, streamed": (
        lambda: alone(Answer((b"data: " + PARTS + b"\n\n",), headers=SSE), of_gemini),
        chats(stream=True),
        200,
        1,
    ),
    "translated, refused": (lambda: alone(Answer((REFUSED,), status=400), of_gemini), chats(), 400, 1),
    "translated, misread": (lambda: alone(Answer((b"{}",)), of_gemini), chats(), 502, 1),
    "unary": (lambda: alone(Answer((EMBEDDED,)), of_gemini), embeds, 200, 1),
    "unary, misread": (lambda: alone(Answer((b'{"embeddings":[]}',)), of_gemini), embeds, 502, 1),
    "form": (lambda: alone(document(TOLD)), transcribe, 200, 1),
    "sound": (lambda: alone(Answer((SOUND,), headers=MPEG)), speaks, 200, 1),
    "shadowed": (lambda: beside(plain(), OTHER), chats(), 200, 2),
    "shadowed, streamed": (lambda: beside(stream(*WHOLE_STREAM), OTHER), chats(stream=True), 200, 2),
}
"""The gateway, what it is asked, the status of the answer, and how many records each request leaves."""


@contextmanager
def collector_off() -> Iterator[list[Any]]:
    """What only the collector would have freed of what was made within is in the list at the end."""
    found: list[Any] = []
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_a_settled_request_waits_for_the_collector(way: str) -> None:
    running, ask, status, records = WAYS[way]
    async with running() as gateway:
        await ask(gateway)  # what is made once, and a fake's own
        await gateway.records.of(records - 1)
        with collector_off() as found:
            for _ in range(TIMES):
                assert status == (await ask(gateway)).status_code
            await gateway.records.of((TIMES + 1) * records - 1)
        left = [one for one in found if (getattr(one, "__module__", None) or "").startswith(OURS)]
    assert [] == sorted({type(one).__qualname__ for one in left})


def test_what_holds_itself_is_found() -> None:
    with collector_off() as found:
        held: list[Any] = []
        held.append(held)
        del held
    assert any(isinstance(one, list) and one and one[0] is one for one in found)
