"""Replicas that come and go without a reload: found in Kubernetes, and by a name."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from gateway.control import discovery
from gateway.control.discovery import Discovery
from gateway.control.membership import MemberDifference
from gateway.process.supervisor import Supervisor
from gateway.telemetry.metrics import Metrics
from tests.gateway.kubernetes.api_server import ApiServer, endpoint, running_api_server
from tests.gateway.kubernetes.test_pool_watch import pool_of
from tests.kubernetes.cluster import PODS, running_cluster
from tests.kubernetes.fake_api.patches import MERGE
from tests.scenario.gateway import Gateway, one_model, running_gateway
from tests.scenario.upstream import Answer, Upstream, chunk, running_upstream, stream

pytestmark = pytest.mark.anyio


def found_by(server: ApiServer) -> dict[str, Any]:
    place = {"service": "eng", "namespace": "default", "api_url": server.url}
    return {"kind": "vllm", "discover": {"kubernetes": place}}


def put(server: ApiServer, name: str, upstream: Upstream, **state: Any) -> None:
    """A slice with one pod, at an upstream's port."""
    server.put(f"slice-{name}", [endpoint(name, "127.0.0.1", **state)], port=int(upstream.url.rpartition(":")[2]))


async def known(gateway: Gateway, *replicas: str) -> None:
    await gateway.until(lambda: {state.key[1] for state in gateway.worker.fleet.table} == set(replicas))


async def test_pods_come_and_go_and_a_stream_outlives_the_end_of_its_pod() -> None:
    gate = asyncio.Event()
    async with running_api_server() as server, running_upstream() as first, running_upstream() as second:
        put(server, "pod-a", first)
        async with running_gateway(one_model(found_by(server))) as gateway:
            await known(gateway, "pod-a")
            assert (await gateway.chat()).headers["x-penstock-replica"] == "pod-a"

            first.then(
                Answer([chunk("one"), gate, chunk("two", "stop"), b"data: [DONE]\n\n"], headers=stream().headers)
            )
            streaming = asyncio.ensure_future(gateway.chat(stream=True))
            await first.request(1)
            put(server, "pod-b", second)
            await known(gateway, "pod-a", "pod-b")
            put(server, "pod-a", first, ready=False, terminating=True)
            await gateway.until(
                lambda: [s.draining for s in gateway.worker.fleet.table if s.key[1] == "pod-a"] == [True]
            )
            asked = len(first.received)
            for _ in range(10):
                assert (await gateway.chat()).headers["x-penstock-replica"] == "pod-b"
            server.delete("slice-pod-a")
            gate.set()
            answer = await streaming
            assert b"one" in answer.content
            assert b"two" in answer.content
            assert len(first.received) == asked
            gateway.worker.fleet.sweep()
            await known(gateway, "pod-b")

            ages = (await gateway.metrics()).labelled("penstock_discovery_age_seconds", "engine")
            assert 0.0 <= ages["a",] < 10.0


async def test_a_pod_that_follows_under_the_same_name_and_address_begins_anew() -> None:
    async with running_api_server() as server, running_upstream() as upstream:
        put(server, "pod-a", upstream)
        async with running_gateway(one_model(found_by(server))) as gateway:
            await known(gateway, "pod-a")
            before = gateway.worker.fleet.table.find(("a", "pod-a"))
            put(server, "pod-a", upstream, uid="another")
            await gateway.until(lambda: gateway.worker.fleet.table.find(("a", "pod-a")) not in (before, None))
            assert (await gateway.chat()).headers["x-penstock-replica"] == "pod-a"


async def test_without_an_answer_what_is_known_stays_in_use() -> None:
    async with running_api_server() as server, running_upstream() as upstream:
        put(server, "pod-a", upstream)
        async with running_gateway(one_model(found_by(server))) as gateway:
            await known(gateway, "pod-a")
            server.failing = Answer([], 503, (), None, 0)
            server.end_watches()
            await server.until_asked(4)
            assert (await gateway.chat()).status_code == 200


async def test_a_model_without_a_replica_yet_says_so_and_then_answers() -> None:
    async with running_api_server() as server, running_upstream() as upstream:
        async with running_gateway(one_model(found_by(server))) as gateway:
            await server.until_watched()
            refused = await gateway.chat()
            assert refused.status_code == 503
            put(server, "pod-a", upstream)
            await known(gateway, "pod-a")
            assert (await gateway.chat()).status_code == 200


async def test_pods_are_found_by_their_labels_each_model_by_its_own() -> None:
    with running_cluster() as cluster:
        async with running_upstream() as upstream:
            port = int(upstream.url.rpartition(":")[2])
            place = {"labels": {"a": "b"}, "port": port, "namespace": "default", "api_url": cluster.url}
            ready = [{"type": "Ready", "status": "True"}]
            cluster.pod("pod-a", podIP="127.0.0.1", phase="Running", conditions=ready)
            cluster.pod("pod-b", podIP="127.0.0.1", phase="Running", conditions=ready)
            cluster.ask("PATCH", f"{PODS}/pod-b", {"metadata": {"labels": {"a": "other"}}}, MERGE)
            async with running_gateway(one_model({"kind": "vllm", "discover": {"kubernetes": place}})) as gateway:
                await known(gateway, "pod-a")
                assert (await gateway.chat()).headers["x-penstock-replica"] == "pod-a"
                cluster.ask(
                    "PATCH", f"{PODS}/pod-a", {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, MERGE
                )
                await gateway.until(lambda: gateway.plane.roster.states()["a", "draining"] == 1)
                cluster.ask("DELETE", f"{PODS}/pod-a")
                await gateway.until(lambda: gateway.plane.roster.states()["a", "draining"] == 0)


async def test_the_pods_of_an_inference_pool_answer_while_it_selects_them() -> None:
    with running_cluster() as cluster:
        async with running_upstream() as upstream:
            pool_of(cluster, int(upstream.url.rpartition(":")[2]))
            place = {"pool": "llm", "namespace": "default", "api_url": cluster.url}
            async with running_gateway(one_model({"kind": "vllm", "discover": {"kubernetes": place}})) as gateway:
                assert (await gateway.chat()).status_code == 503
                ready = [{"type": "Ready", "status": "True"}]
                cluster.pod("pod-a", podIP="127.0.0.1", phase="Running", conditions=ready)
                await known(gateway, "pod-a")
                assert (await gateway.chat()).headers["x-penstock-replica"] == "pod-a"
                ages = (await gateway.metrics()).labelled("penstock_discovery_age_seconds", "engine")
                assert 0.0 <= ages["a",] < 10.0
                cluster.ask("DELETE", f"{PODS}/pod-a")
                await gateway.until(lambda: gateway.plane.roster.states()["a", "ready"] == 0)


class Names:
    """What a name server says, answer by answer."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


async def test_the_addresses_of_a_name_are_followed_and_one_empty_answer_takes_nobody_away() -> None:
    told = Told()
    supervisor = Supervisor()
    turns = asyncio.Semaphore(0)

    async def pause(seconds: float, over: asyncio.Event) -> None:
        assert seconds == 10.0
        await turns.acquire()

    names = Names(["10.0.0.1", "fd00::1"], ["10.0.0.1"], [], ["10.0.0.1"], OSError(1, "away"), [], [])
    settings: Any = Written({"e": Engine({"dns": {"host": "engines.example", "port": 8000}})})
    following = Discovery(supervisor.spawn, told, Metrics(()), resolve=names, pause=pause)
    following.use(settings)
    for _ in range(7):
        await asyncio.sleep(0)
        turns.release()
        for _ in range(20):
            await asyncio.sleep(0)
    shown = [([one.url for one in each.added], list(each.removed)) for each in told.said]
    assert shown == [
        (["http://10.0.0.1:8000", "http://[fd00::1]:8000"], []),
        ([], ["[fd00::1]:8000"]),
        ([], ["10.0.0.1:8000"]),
    ]
    await supervisor.close()


class Told:
    """Keeps what discovery tells."""

    def __init__(self) -> None:
        self.said: list[MemberDifference] = []

    def differs(self, name: str, difference: MemberDifference) -> None:
        self.said.append(difference)

    def forgotten(self, name: str) -> None:
        raise AssertionError("nothing of the place has changed")


class Engine:
    """What discovery reads of an engine's section."""

    def __init__(self, written: dict[str, Any]) -> None:
        from engines.settings.discovery import Discover

        self.found_at = Discover.model_validate(written)
        self.autoscale = None


class Written:
    """What discovery reads of settings."""

    def __init__(self, engines: dict[str, Engine]) -> None:
        self.engines = engines


@pytest.mark.parametrize(
    ("errno", "answer"), [(socket.EAI_NONAME, []), (getattr(socket, "EAI_NODATA", socket.EAI_NONAME), [])]
)
async def test_a_name_without_addresses_is_an_answer(
    errno: int, answer: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*asked: Any, **more: Any) -> Any:
        raise socket.gaierror(errno, "no address")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nobody, raising=False)
    assert await discovery.addresses("engines.example", 8000) == answer


async def test_a_name_server_that_does_not_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*asked: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", away, raising=False)
    with pytest.raises(OSError, match="try again"):
        await discovery.addresses("engines.example", 8000)
