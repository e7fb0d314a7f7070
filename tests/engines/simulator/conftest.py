"""A simulator served from the test's own event loop, on a free port, without latency unless a test asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from engines.simulator.server import serve
from engines.simulator.settings import SimulatorSettings


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": True})


@asynccontextmanager
async def simulator(**knobs: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a fresh simulator; `client.base_url` says where it is."""
    stop = asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = SimulatorSettings(**{"ttft_ms": 0, "itl_ms": 0, **knobs})
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(settings, on_listening=url.set_result, stop=stop))
        async with httpx.AsyncClient(base_url=await url, trust_env=False, timeout=20) as client:
            try:
                yield client
            finally:
                stop.set()
