"""A place that an engine is found at no longer has nothing more to say of it, whatever it was just asked or telling."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engines.settings.discovery import Discover
from gateway.control import discovery
from gateway.control.discovery import Discovery
from gateway.control.membership import MemberDifference
from gateway.process.supervisor import Supervisor
from gateway.telemetry.metrics import Metrics
from tests.gateway.kubernetes.test_pool_watch import Read
from tests.kubernetes.cluster import until

pytestmark = pytest.mark.anyio


class Told:
    """Who is where, by what discovery tells."""

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}

    def differs(self, name: str, difference: MemberDifference) -> None:
        assert name == "e"
        self.urls.update((replica.id, replica.url) for replica in difference.added)
        for id in difference.removed:
            del self.urls[id]

    def forgotten(self, name: str) -> None:
        self.urls.clear()


class Engine:
    """What discovery reads of an engine's section."""

    autoscale = None

    def __init__(self, written: dict[str, Any]) -> None:
        self.found_at = Discover.model_validate(written)


class Written:
    """What discovery reads of settings: one engine, or none."""

    def __init__(self, **written: Any) -> None:
        self.engines = {"e": Engine(written)} if written else {}


class Names:
    """A name server that answers for each name when it is told to."""

    def __init__(self) -> None:
        self.asked: dict[str, asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> list[str]:
        return await self.asked.setdefault(host, asyncio.get_running_loop().create_future())


def at(host: str) -> Any:
    return Written(dns={"host": host, "port": 80})


async def never(seconds: float, over: asyncio.Event) -> None:
    await over.wait()


@pytest.mark.parametrize("then", [at("new"), Written()], ids=["another place", "no engine"])
async def test_a_name_that_is_looked_up_as_its_engine_moves_away_adds_nobody(then: Any) -> None:
    told, names, supervisor = Told(), Names(), Supervisor()
    following = Discovery(supervisor.spawn, told, Metrics(()), resolve=names, pause=never)
    following.use(at("old"))
    await until(lambda: set(names.asked), {"old"})
    following.use(then)
    names.asked["old"].set_result(["10.0.0.1"])
    wanted = {}
    if then.engines:
        await until(lambda: set(names.asked), {"old", "new"})
        names.asked["new"].set_result(["10.0.0.2"])
        wanted = {"10.0.0.2:80": "http://10.0.0.2:80"}
    await until(lambda: len(supervisor._tasks), len(then.engines))
    await until(lambda: told.urls, wanted)
    await supervisor.close()


async def test_a_pod_that_is_told_in_the_turn_in_which_its_engine_moves_away_is_not_taken_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, supervisor, servers = Told(), Supervisor(), [Read(), Read()]
    ready = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    x, y = ({"metadata": {"name": name, "resourceVersion": "3"}, "status": ready} for name in "xy")
    servers[0].listed["pods"], servers[1].listed["pods"] = [x], [x]
    coming = iter(servers)
    monkeypatch.setattr(discovery, "Api", lambda *_: next(coming))
    following = Discovery(supervisor.spawn, told, Metrics(()), pause=never)

    def labelled(value: str) -> Any:
        place = {"labels": {"a": value}, "port": 80, "namespace": "n", "api_url": "http://api.example"}
        return Written(kubernetes=place)

    following.use(labelled("old"))
    await until(lambda: set(told.urls), {"x"})
    following.use(labelled("new"))
    assert told.urls == {}
    servers[0].event("pods", "ADDED", y)
    await until(lambda: set(told.urls), {"x"})
    await until(lambda: len(supervisor._tasks), 1)
    assert set(told.urls) == {"x"}
    await supervisor.close()
