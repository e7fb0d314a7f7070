"""One stand per engine kind: the engine as the gateway builds it, and a server behind it whose behaviour a test sets.

Behaviours: `ok`; `prefill` works on the request and has no body byte yet; `slow` sends the beginning of a stream and no
more; `refuse` answers 429; `hang` says nothing; `cut` closes in the middle of the body.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from engines.http_engine import HttpEngine
from engines.kinds.openai import OpenAIEngine
from engines.kinds.section import EngineSection
from engines.kinds.simulator import SimulatorEngine
from engines.kinds.vllm import VllmEngine
from engines.pools import Pools
from engines.port import Replica
from engines.simulator import SimulatorSettings, command
from engines.simulator.server import serve
from tests.engines.contract.scripted import KEY, ScriptedOpenAI, scripted
from tests.engines.http1.upstream import PATIENCE_S, until

SIMULATOR = SimulatorSettings(ttft_ms=0, itl_ms=0, admin=True)
FAILURES = {"refuse": "rate_limit", "hang": "hang", "cut": "disconnect_mid_stream"}


class Stand:
    """An engine and the server behind it."""

    def __init__(self, settings: EngineSection, launched: Mapping[str, list[Replica]]) -> None:
        self.settings = settings
        self.tasks: list[asyncio.Task[None]] = []
        self.replicas = settings.written_replicas() or tuple(launched["one"])
        self.engine = self.build(self.replicas)

    def build(self, replicas: tuple[Replica, ...]) -> HttpEngine:
        return HttpEngine("one", self.settings.http_settings(PATIENCE_S), Pools(self.spawn), replicas)

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work(), name=name))

    async def behave(self, behaviour: str) -> None:
        raise NotImplementedError

    async def serving(self) -> int:
        """How many requests the server is working on."""
        raise NotImplementedError

    async def asked(self) -> list[str]:
        """The paths of all inference requests so far."""
        raise NotImplementedError

    async def until_serving(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.serving() != count:
                pass

    async def over(self) -> None:
        await self.engine.close()
        await until(lambda: self.engine.open_connections == 0)
        await asyncio.gather(*self.tasks)


class SimulatorStand(Stand):
    """Behind `vllm` and `simulator`: the simulated server, told what to do through its admin endpoint."""

    def __init__(self, settings: EngineSection, launched: Mapping[str, list[Replica]], admin: httpx.AsyncClient):
        super().__init__(settings, launched)
        self._admin = admin
        self.asked_before = 0

    async def behave(self, behaviour: str) -> None:
        knobs: dict[str, Any] = {
            "failure_rate": 0,
            "ttft_ms": 600_000 if behaviour == "prefill" else 0,
            "itl_ms": 600_000 if behaviour == "slow" else 0,
        }
        if behaviour in FAILURES:
            knobs |= {"failure_rate": 1, "failure_kinds": [FAILURES[behaviour]]}
        (await self._admin.post("/admin/config", json=knobs)).raise_for_status()

    async def serving(self) -> int:
        return int((await self._admin.get("/load")).json()["server_load"])

    async def asked(self) -> list[str]:
        return [request["path"] for request in (await self._admin.get("/admin/requests")).json()][self.asked_before :]


class OpenAIStand(Stand):
    """Behind `openai`: a scripted server."""

    def __init__(self, settings: EngineSection, server: ScriptedOpenAI) -> None:
        super().__init__(settings, {})
        self.server = server

    async def behave(self, behaviour: str) -> None:
        self.server.behaviour = behaviour

    async def serving(self) -> int:
        await asyncio.sleep(0)
        return self.server.serving

    async def asked(self) -> list[str]:
        return self.server.paths


@asynccontextmanager
async def vllm() -> AsyncIterator[Stand]:
    """Static replicas, the server in this event loop."""
    stop = asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(SIMULATOR, on_listening=url.set_result, stop=stop))
        try:
            section = VllmEngine.model_validate({"kind": "vllm", "replicas": [{"url": await url}]})
            async with httpx.AsyncClient(base_url=await url, trust_env=False, timeout=PATIENCE_S) as admin:
                stand = SimulatorStand(section, {}, admin)
                yield stand
                await stand.over()
        finally:
            stop.set()


@contextmanager
def simulator_process() -> Iterator[str]:
    """A simulator in a process of its own, as the gateway launches it; its URL."""
    with subprocess.Popen(command(SIMULATOR), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@asynccontextmanager
async def simulator(url: str) -> AsyncIterator[Stand]:
    """A launched replica: the process at `url`, which one test after another uses."""
    section = SimulatorEngine.model_validate({"kind": "simulator"})
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE_S) as admin:
        stand = SimulatorStand(section, {"one": [Replica("0", url)]}, admin)
        await stand.behave("ok")
        stand.asked_before = len(await stand.asked())
        yield stand
        await stand.over()


@asynccontextmanager
async def openai() -> AsyncIterator[Stand]:
    """A provider at a base URL, with a key."""
    async with scripted() as (server, base_url):
        section = OpenAIEngine.model_validate({"kind": "openai", "base_url": base_url, "api_key": KEY})
        stand = OpenAIStand(section, server)
        yield stand
        await stand.over()
