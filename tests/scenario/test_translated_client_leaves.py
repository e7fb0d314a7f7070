"""A client leaves while a provider answers, in another format or its own: the provider is told by a closed connection.

Each fake stalls on order and says whether its client left; nothing of it knows the gateway.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.scenario.gateway import KEY, LONGEST_S, running_gateway
from tests.scenario.test_client_leaves import GONE, STRICT, client_of, left
from tests.scenario.test_every_provider import MODELS, TEXT, engine, served

pytestmark = pytest.mark.anyio

PROVIDERS = MODELS | {"azure": MODELS["openai"]}
SAID = [{"role": "user", "content": TEXT}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAID},
    "/v1/messages": {"messages": SAID, "max_tokens": 300},
    "/v1/responses": {"input": TEXT},
}
"""By what the client asks."""


def request_of(path: str, *, streaming: bool) -> bytes:
    body = json.dumps({"model": "chat", "stream": streaming, **BODIES[path]}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("name", PROVIDERS)
async def test_the_provider_sees_its_connection_closed(name: str, path: str, streaming: bool) -> None:
    async with served(name) as url, httpx.AsyncClient(base_url=url, trust_env=False) as asking:

        async def asked(**wanted: bool) -> None:
            """Once the provider has been asked, and says this of it."""
            async with asyncio.timeout(LONGEST_S):
                while not [one for one in (await asking.get("/fake/requests")).json() if wanted.items() <= one.items()]:
                    pass

        model = {"targets": [{"engine": name, "model": f"{PROVIDERS[name]}-fake-stalled"}]}
        engines = {name: engine(name, url) | {"api_key": "key-of-the-engine"}}
        async with running_gateway({"engines": engines, "models": {"chat": model}, **STRICT}) as gateway:
            async with client_of(gateway) as (reader, writer):
                writer.write(request_of(path, streaming=streaming))
                if streaming:
                    await reader.readuntil(b"You ")
                await asked(left=False)
            await asked(left=True)
            assert GONE == await left(gateway)
            assert 1 == len((await asking.get("/fake/requests")).json())
