"""An InferencePool over real HTTP against an API server that answers as a recorded one."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import structlog

from gateway.control.membership import MemberDifference
from gateway.kubernetes.api import Api, ApiError, ApiPlace
from gateway.kubernetes.pool_watch import PoolWatch
from tests.gateway.kubernetes.spawning import spawn
from tests.kubernetes.cluster import PODS, Cluster, running_cluster, until
from tests.kubernetes.fake_api.patches import MERGE

pytestmark = pytest.mark.anyio

POOLS = "/apis/inference.networking.k8s.io/v1/namespaces/default/inferencepools"


def pool_of(cluster: Cluster, *ports: int, name: str = "llm", **spec: Any) -> None:
    """A pool of all pods of the cluster."""
    selector = {"matchLabels": {"a": "b"}}
    it = {"apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool"}
    made = {"selector": selector, "targetPorts": [{"number": port} for port in ports], **spec}
    cluster.ask("POST", POOLS, {**it, "metadata": {"name": name, "namespace": "default"}, "spec": made})


def pod(cluster: Cluster, name: str, address: str) -> None:
    ready = [{"type": "Ready", "status": "True"}]
    cluster.pod(name, podIP=address, phase="Running", conditions=ready)


class Told:
    """The replicas that there are, from what is told."""

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}
        self.draining: set[str] = set()

    def __call__(self, difference: MemberDifference) -> None:
        self.urls |= {one.id: one.url for one in difference.added}
        for id in difference.removed:
            del self.urls[id]
        self.draining = (self.draining - {*difference.resumed, *difference.removed}) | {*difference.draining}


@asynccontextmanager
async def following(
    server: Cluster | Api, port: int | None = None, *, one_port: bool = False
) -> AsyncIterator[tuple[Told, PoolWatch]]:
    told, over = Told(), asyncio.Event()
    api = Api(ApiPlace(server.url), spawn) if isinstance(server, Cluster) else server

    async def at_once(seconds: float, over: asyncio.Event) -> None:
        await asyncio.sleep(0.005)

    watch = PoolWatch(
        api,
        "default",
        "llm",
        scheme="http",
        port=port,
        one_port=one_port,
        told=told,
        named="eng",
        rng=random.Random(1),
        pause=at_once,
    )
    running = asyncio.ensure_future(watch.run(over))
    try:
        yield told, watch
    finally:
        over.set()
        await asyncio.wait_for(running, 60)
        await api.close()


@pytest.fixture
def lines() -> Any:
    with structlog.testing.capture_logs() as logged:
        yield logged


async def test_pods_are_followed_by_the_pools_selector_at_its_ports() -> None:
    with running_cluster() as cluster:
        pool_of(cluster, 8000, 8001)
        pool_of(cluster, 7000, name="other")
        pod(cluster, "x", "10.0.0.1")
        async with following(cluster) as (told, watch):
            await until(lambda: told.urls, {"x": "http://10.0.0.1:8000", "x:8001": "http://10.0.0.1:8001"})
            await until(lambda: watch.heard_s > 0)
            cluster.ask("PATCH", f"{PODS}/x", {"status": {"conditions": []}}, MERGE)
            await until(lambda: told.draining, {"x", "x:8001"})
            cluster.ask("DELETE", f"{PODS}/x")
            await until(lambda: told.urls, {})
            asked = [one.query for one in cluster.api.requests if {"limit", "watch"} & one.query.keys()]
        assert {one.get("fieldSelector") for one in asked if "labelSelector" not in one} == {"metadata.name=llm"}
        assert {one["labelSelector"] for one in asked if "labelSelector" in one} == {"a=b"}


async def test_another_selector_finds_others_and_forgets_those_that_it_does_not() -> None:
    with running_cluster() as cluster:
        pool_of(cluster, 8000)
        pod(cluster, "x", "10.0.0.1")
        pod(cluster, "y", "10.0.0.2")
        cluster.ask("PATCH", f"{PODS}/y", {"metadata": {"labels": {"c": "d"}}}, MERGE)
        async with following(cluster) as (told, _):
            await until(lambda: set(told.urls), {"x", "y"})
            cluster.ask("PATCH", f"{POOLS}/llm", {"spec": {"selector": {"matchLabels": {"c": "d"}}}}, MERGE)
            await until(lambda: set(told.urls), {"y"})
            cluster.ask("PATCH", f"{POOLS}/llm", {"spec": {"targetPorts": [{"number": 9000}]}}, MERGE)
            await until(lambda: told.urls, {"y": "http://10.0.0.2:9000"})


async def test_without_the_pool_nobody_serves_and_it_is_said(lines: list[Any]) -> None:
    with running_cluster() as cluster:
        pod(cluster, "x", "10.0.0.1")
        async with following(cluster) as (told, _):
            await until(
                lambda: [line["why"] for line in lines], ["there is no InferencePool llm in the namespace default"]
            )
            pool_of(cluster, 8000)
            await until(lambda: set(told.urls), {"x"})
            cluster.ask("DELETE", f"{POOLS}/llm")
            await until(lambda: told.urls, {})
            pool_of(cluster, 8000)
            await until(lambda: set(told.urls), {"x"})


async def test_a_pool_that_comes_again_serves_no_pod_before_it_is_listed(lines: list[Any]) -> None:
    """What was known of its pods is of before: their addresses may be somebody else's by now."""
    with running_cluster() as cluster:
        pool_of(cluster, 8000)
        pod(cluster, "x", "10.0.0.1")
        async with following(cluster) as (told, _):
            await until(lambda: set(told.urls), {"x"})
            cluster.ask("DELETE", f"{POOLS}/llm")
            await until(lambda: told.urls, {})
            cluster.ask("DELETE", f"{PODS}/x")
            pod(cluster, "y", "10.0.0.2")
            cluster.api.forbidden.add(("list", "pods"))
            pool_of(cluster, 8000)
            await until(lambda: [line["event"] for line in lines[-1:]], ["discovery_failed"])
            assert told.urls == {}
            cluster.api.forbidden.clear()
            await until(lambda: told.urls, {"y": "http://10.0.0.2:8000"})


class Read:
    """An API server whose events are all read in the turn that they are put in."""

    def __init__(self) -> None:
        self.listed: dict[str, list[dict[str, Any]]] = {"inferencepools": [], "pods": []}
        self.refused = False
        self._events = {kind: asyncio.Queue[bytes]() for kind in self.listed}

    def event(self, kind: str, type: str, thing: dict[str, Any]) -> None:
        self._events[kind].put_nowait(json.dumps({"type": type, "object": thing}).encode())

    async def get(self, path: str, query: dict[str, str]) -> bytes:
        if self.refused and path.endswith("pods"):
            raise ApiError("pods are not to be listed", 403)
        items = self.listed[path.rpartition("/")[2]]
        return json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()

    async def lines(self, path: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        while True:
            yield await self._events[path.rpartition("/")[2]].get()

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_pod_that_is_told_while_its_watch_is_given_up_is_not_kept(lines: list[Any]) -> None:
    """Its event is read in the turn in which the pool goes: nobody is to serve by it when the pool comes again."""
    server = Read()
    pool = {
        "metadata": {"name": "llm", "resourceVersion": "2"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "targetPorts": [{"number": 8000}]},
    }
    ready = {"phase": "Running", "podIP": "10.0.0.2", "conditions": [{"type": "Ready", "status": "True"}]}
    x, y = ({"metadata": {"name": name, "resourceVersion": "3"}, "status": ready} for name in "xy")
    server.listed = {"inferencepools": [pool], "pods": [x]}
    async with following(cast(Api, server)) as (told, _):
        await until(lambda: set(told.urls), {"x"})
        server.refused = True
        server.event("inferencepools", "DELETED", pool)
        server.event("pods", "ADDED", y)
        await until(lambda: told.urls, {})
        server.event("inferencepools", "ADDED", pool)
        await until(lambda: [line["event"] for line in lines], ["discovery_failed"])
        assert told.urls == {}


async def test_a_pool_without_a_selector_serves_nobody() -> None:
    with running_cluster() as cluster:
        pool_of(cluster, 8000)
        pod(cluster, "x", "10.0.0.1")
        async with following(cluster) as (told, _):
            await until(lambda: set(told.urls), {"x"})
            cluster.ask("PATCH", f"{POOLS}/llm", {"spec": {"selector": {"matchLabels": {"a": None}}}}, MERGE)
            await until(lambda: told.urls, {})
            cluster.ask("PATCH", f"{POOLS}/llm", {"spec": {"selector": {"matchLabels": {"a": "b"}}}}, MERGE)
            await until(lambda: set(told.urls), {"x"})


async def test_an_engine_that_is_scaled_has_one_replica_for_each_pod(lines: list[Any]) -> None:
    with running_cluster() as cluster:
        pool_of(cluster, 8000, 8001)
        pod(cluster, "x", "10.0.0.1")
        async with following(cluster, one_port=True) as (told, _):
            await until(lambda: told.urls, {"x": "http://10.0.0.1:8000"})
        assert "only 8000 is asked" in lines[0]["why"]
        async with following(cluster, 9000) as (told, _):
            await until(lambda: told.urls, {"x": "http://10.0.0.1:9000"})


async def test_a_protocol_that_we_do_not_speak_and_no_selector_are_said(lines: list[Any]) -> None:
    with running_cluster() as cluster:
        pool_of(cluster, 8000, appProtocol="kubernetes.io/h2c")
        async with following(cluster):
            await until(lambda: bool(lines))
            assert "h2c" in lines[0]["why"]
            cluster.ask("PATCH", f"{POOLS}/llm", {"spec": {"selector": {"matchLabels": {"a": None}}}}, MERGE)
            await until(lambda: len(lines), 2)
            assert lines[1]["why"] == "the InferencePool selects no pods by labels"


async def test_what_is_forbidden_is_said_and_what_is_known_stays(lines: list[Any]) -> None:
    with running_cluster() as cluster:
        pool_of(cluster, 8000)
        pod(cluster, "x", "10.0.0.1")
        cluster.api.forbidden.add(("list", "pods"))
        async with following(cluster) as (told, _):
            await until(lambda: bool(lines))
            assert lines[0]["event"] == "discovery_failed"
            assert "pods" in lines[0]["why"]
            cluster.api.forbidden.clear()
            await until(lambda: set(told.urls), {"x"})
