"""Sleep and wake, asked of the simulator, which behaves as vLLM does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engines import sleeping
from engines.asking import Refused
from engines.errors import BadAnswer, ConnectFailed
from engines.http_engine import HttpEngine, HttpSettings
from engines.model import Operation
from engines.pools import Pools
from engines.port import Outgoing, Replica
from tests.engines.simulator.conftest import simulator

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def engine(**knobs: Any) -> AsyncIterator[HttpEngine]:
    tasks: list[asyncio.Task[None]] = []

    def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        tasks.append(asyncio.get_running_loop().create_task(work(), name=name))

    async with simulator(**knobs) as client:
        replicas = [Replica("a", str(client.base_url).rstrip("/"))]
        one = HttpEngine("one", HttpSettings("vllm", frozenset(Operation)), Pools(spawn), replicas)
        try:
            yield one
        finally:
            await one.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_it_sleeps_and_wakes() -> None:
    async with engine(sleep_mode=True) as one:
        assert not await sleeping.asleep(one, "a")
        await sleeping.sleep(one, "a", 1)
        assert (await sleeping.asleep(one, "a"), await sleeping.discarded(one, "a")) == (True, False)
        await sleeping.wake(one, "a", reload=False)
        assert not await sleeping.asleep(one, "a")


async def test_discarded_weights_are_loaded_between_its_parts() -> None:
    async with engine(sleep_mode=True) as one:
        await sleeping.sleep(one, "a", 2)
        assert await sleeping.discarded(one, "a")
        await sleeping.wake(one, "a", reload=True)
        assert (await sleeping.asleep(one, "a"), await sleeping.discarded(one, "a")) == (False, False)


async def test_a_server_that_cannot_sleep_says_so_with_its_status() -> None:
    async with engine() as one:
        for ask in (sleeping.asleep(one, "a"), sleeping.sleep(one, "a", 1), sleeping.wake(one, "a", reload=True)):
            with pytest.raises(Refused) as refused:
                await ask
            assert refused.value.status == 404
            assert "is answered with 404: " in str(refused.value)


async def test_an_answer_that_is_none_is_an_error() -> None:
    async with engine() as one:
        with pytest.raises(ConnectFailed):
            await sleeping.asleep(one, "nobody")


async def test_an_answer_of_another_shape_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sleeping, "ASLEEP", "/version")
    async with engine() as one:
        with pytest.raises(BadAnswer, match="no JSON that we know"):
            await sleeping.asleep(one, "a")


class Telling:
    """An engine whose replica says this of its configuration, and sleeps."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body
        self.asked: list[str] = []

    def send(self, replica_id: str, outgoing: Outgoing, deadlines: object, sink: Any) -> Any:
        self.asked.append(outgoing.path)
        told = outgoing.path.startswith("/server_info")
        sink.head(self.status if told else 200, ())
        sink.data(self.body if told else b"{}")
        sink.done()
        return self

    def abort(self) -> None: ...


async def test_one_that_would_keep_its_memory_is_not_told_to_sleep() -> None:
    one: Any = Telling(200, b'{"vllm_config":{"model_config":{"model":"m","enable_sleep_mode":false}},"vllm_env":{}}')
    with pytest.raises(sleeping.NoSleepMode, match="without --enable-sleep-mode"):
        await sleeping.sleep(one, "a", 1)
    assert one.asked == ["/server_info?config_format=json"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"vllm_config":{"model_config":{"enable_sleep_mode":true}}}'),
        (200, b'{"vllm_config":{"model_config":{}}}'),
        (200, b'{"vllm_config":"model=\'m\', enable_sleep_mode=False"}'),
        (200, b"<html>"),
        (200, b"[" * 100_000),
        (404, b'{"detail":"Not Found"}'),
    ],
)
async def test_one_that_does_not_tell_its_configuration_is_told_to_sleep(status: int, body: bytes) -> None:
    one: Any = Telling(status, body)
    await sleeping.sleep(one, "a", 2)
    assert one.asked[1:] == ["/sleep?level=2&mode=wait"]


async def test_one_that_cannot_be_asked_says_nothing_of_its_sleep() -> None:
    async with engine(sleep_mode=True) as one:
        assert await sleeping.asleep_if_told(one, "a") is False
        await sleeping.sleep(one, "a", 1)
        assert await sleeping.asleep_if_told(one, "a")
    async with engine() as one:
        assert await sleeping.asleep_if_told(one, "a") is None
