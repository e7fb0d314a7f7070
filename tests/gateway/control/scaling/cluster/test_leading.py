"""The Lease against the API server: who acts, whom it has the others drain, and what becomes of failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.control.scaling.cluster.leading import DRAINING, Election, Leading
from gateway.kubernetes.api import ApiError
from gateway.kubernetes.lease import USUAL
from gateway.process.supervisor import Supervisor
from gateway.settings import load_settings
from gateway.settings.sections.autoscale import LeaseSection
from gateway.telemetry.metrics import Metrics
from tests.gateway.kubernetes.spawning import spawn
from tests.kubernetes.cluster import LEASES, Cluster, running_cluster, until

pytestmark = pytest.mark.anyio


class Place:
    """A cluster, and gateways of it, on a clock of the test's."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.now = 0.0
        self.made: list[Election] = []

    def gateway(self, name: str) -> Election:
        section = LeaseSection(name="lead", namespace="default", api_url=self.cluster.url)
        self.made.append(Election(section, spawn, name, USUAL, lambda: self.now, lambda: 1e9 + self.now))
        return self.made[-1]

    @property
    def lease(self) -> Any:
        return self.cluster.ask("GET", f"{LEASES}/lead")


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    with running_cluster() as cluster:
        place = Place(cluster)
        yield place
        for one in place.made:
            await one.close()


async def test_one_acts_and_the_others_hear_whom_it_drains(place: Place) -> None:
    first, second = place.gateway("gw-0"), place.gateway("gw-1")
    await first.step()
    await second.step()
    assert (first.leads, second.leads, second.holder) == (True, False, "gw-0")
    second.tell("e", (["mine"], []))
    first.tell("e", (["pod-a"], ["pod-b"]))
    await first.step()
    await second.step()
    assert second.told == {"e": (["pod-a"], ["pod-b"])}
    assert place.lease["metadata"]["annotations"] == {DRAINING: '{"e":[["pod-a"],["pod-b"]]}'}
    place.now = 15.0
    await second.step()
    assert (first.leads, second.leads, second.told) == (False, True, {"e": (["pod-a"], ["pod-b"])})
    second.tell("e", ([], []))
    await second.step()
    await first.step()
    assert (first.told, first.holder) == ({}, "gw-1")


async def test_a_holder_renews_without_asking_and_finds_out_by_a_conflict(place: Place) -> None:
    first = place.gateway("gw-0")
    await first.step()
    asked = len(place.cluster.api.requests)
    place.now = 2.0
    await first.step()
    assert [one.method for one in place.cluster.api.requests[asked:]] == ["PUT"]
    it = place.lease
    it["spec"]["holderIdentity"] = "gw-9"
    place.cluster.ask("PUT", f"{LEASES}/lead", it)
    await first.step()
    assert (first.leads, first.holder) == (False, "gw-9")


async def test_one_that_leaves_lets_another_act_at_once(place: Place) -> None:
    first, second = place.gateway("gw-0"), place.gateway("gw-1")
    await first.step()
    await second.step()
    await first.leave()
    assert not first.leads
    await second.step()
    assert second.leads
    await first.leave()
    assert place.lease["spec"]["holderIdentity"] == "gw-1"


async def test_a_lease_that_is_taken_away_is_made_again(place: Place) -> None:
    first = place.gateway("gw-0")
    await first.step()
    place.cluster.ask("DELETE", f"{LEASES}/lead")
    await first.step()
    await first.step()
    assert (first.leads, place.lease["spec"]["holderIdentity"]) == (True, "gw-0")


async def test_an_annotation_that_somebody_broke_drains_nobody(place: Place) -> None:
    first, second = place.gateway("gw-0"), place.gateway("gw-1")
    await first.step()
    it = place.lease
    it["metadata"]["annotations"][DRAINING] = '{"e": 3}'
    place.cluster.ask("PUT", f"{LEASES}/lead", it)
    await second.step()
    assert second.told == {}


@pytest.mark.parametrize(
    ("verb", "rule"),
    [
        ("get", "{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [lead], verbs: [get]}"),
        ("create", "{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}"),
    ],
)
async def test_what_is_forbidden_is_told_with_the_rule_that_is_missing(place: Place, verb: str, rule: str) -> None:
    place.cluster.api.forbidden = {(verb, "leases")}
    with pytest.raises(ApiError) as refused:
        await place.gateway("gw-0").step()
    assert str(refused.value) == f"the gateway may not {verb} leases: its Role lacks {rule}"


async def test_without_the_api_server_it_acts_until_its_time_is_over_and_says_so_once(place: Place) -> None:
    turns = asyncio.Semaphore(0)
    resting = asyncio.Event()

    async def pause(seconds: float, over: asyncio.Event) -> None:
        assert 2.0 <= seconds <= 2.4
        resting.set()
        await turns.acquire()

    async def turn(now: float) -> None:
        resting.clear()
        place.now = now
        turns.release()
        await resting.wait()

    election = place.gateway("gw-0")
    with capture_logs() as logs:
        running = asyncio.ensure_future(election.run(pause))
        await resting.wait()
        place.cluster.api.forbidden = {("update", "leases"), ("get", "leases")}
        await turn(4.0)
        await turn(9.9)
        assert election.leads
        await turn(10.0)
        assert not election.leads
        place.cluster.api.forbidden = set()
        await turn(11.0)
        assert election.leads
        election.end()
        turns.release()
        await running
    events = [it["event"] for it in logs]
    assert events == ["leads", "lease_failed", "lease_failed", "leads_no_more", "lease_recovered", "leads"]


async def test_a_reload_that_takes_the_lease_away_lets_it_act_by_itself() -> None:
    supervisor = Supervisor()
    with running_cluster() as cluster:
        leading = Leading(supervisor.spawn, Metrics(()), identity="gw-0")
        head = "engines: {e: {kind: simulator}}\nmodels: {m: {targets: [{engine: e}]}}\n"
        assert leading.leads
        peers = "admin: {listen: '0.0.0.0:8081'}\npeers: {dns: penstock-peers, port: 8081, key: sk-of-the-peers}\n"
        lease = f"autoscale: {{lease: {{name: lead, api_url: '{cluster.url}'}}}}"
        leading.use(load_settings(f"{head}{peers}{lease}", {}).settings)
        await until(lambda: (leading.leads, leading.holder), (True, "gw-0"))
        await leading.leave()
        assert not leading.leads
        leading.use(load_settings(head, {}).settings)
        assert (leading.leads, leading.holder) == (True, "")
        await supervisor.close()


async def test_who_hands_the_lease_over_hands_over_whom_it_has_leave(place: Place) -> None:
    first, second = place.gateway("gw-0"), place.gateway("gw-1")
    await first.step()
    first.tell("e", (["pod-a"], []))
    await first.leave()
    await second.step()
    assert (second.leads, second.told) == (True, {"e": (["pod-a"], [])})


async def test_what_is_said_of_an_engine_that_is_no_more_goes_with_the_next_that_acts(place: Place) -> None:
    first, second = place.gateway("gw-0"), place.gateway("gw-1")
    await first.step()
    for engine in "ef":
        first.tell(engine, (["pod"], []))
    await first.step()
    second.limit(frozenset("e"))
    await second.step()
    assert set(second.told) == set("ef"), "whoever does not act only reads"
    place.now = 15.0
    await second.step()
    assert (second.leads, set(second.told)) == (True, {"e"})
    assert place.lease["metadata"]["annotations"] == {DRAINING: '{"e":[["pod"],[]]}'}


async def test_a_reload_without_an_engine_takes_away_what_was_said_of_it_and_the_age_is_shown() -> None:
    supervisor = Supervisor()
    with running_cluster() as cluster:
        leading = Leading(supervisor.spawn, Metrics(()), identity="gw-0")
        rest = {
            "models": {"m": {"targets": [{"engine": "s"}]}},
            "admin": {"listen": "0.0.0.0:8081"},
            "peers": {"dns": "penstock-peers", "port": 8081, "key": "sk-of-the-peers"},
            "autoscale": {"lease": {"name": "lead", "namespace": "default", "api_url": cluster.url}},
        }
        engines = {"s": {"kind": "simulator"}, "e": cluster.section()}
        assert leading.ages_s() == {}
        leading.use(load_settings(json.dumps({**rest, "engines": engines}), {}).settings)
        await until(lambda: leading.leads)
        leading.tell("e", ["pod-a"], [])

        def said() -> Any:
            return cluster.ask("GET", f"{LEASES}/lead")["metadata"]["annotations"][DRAINING]

        await until(said, '{"e":[["pod-a"],[]]}')
        del engines["e"]
        leading.use(load_settings(json.dumps({**rest, "engines": engines}), {}).settings)
        await until(said, "{}")
        assert 0.0 <= leading.ages_s()["leader_election"] < 20.0
        await supervisor.close()


async def test_the_age_of_an_election_grows_while_the_api_server_refuses(place: Place) -> None:
    election = place.gateway("gw-0")
    place.cluster.api.forbidden = {("get", "leases")}
    turns = asyncio.Semaphore(0)
    resting = asyncio.Event()

    async def pause(seconds: float, over: asyncio.Event) -> None:
        resting.set()
        await turns.acquire()

    place.now = 7.0
    running = asyncio.ensure_future(election.run(pause))
    with capture_logs():
        await resting.wait()
        assert election.succeeded_s == 0.0
        resting.clear()
        place.cluster.api.forbidden = set()
        turns.release()
        await resting.wait()
        assert election.succeeded_s == 7.0
        election.end()
        turns.release()
        await running


async def test_a_lease_in_a_namespace_that_is_not_there_is_told(place: Place) -> None:
    election = place.gateway("gw-0")

    async def nowhere(lease: Any) -> Any:
        raise ApiError('the API server says 404: namespaces "default" not found', 404, "NotFound")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(election, "_create", nowhere)
        with pytest.raises(ApiError, match="the lease cannot be made: there is no namespace default"):
            await election.step()


async def test_an_api_server_that_says_nothing_keeps_nobody_from_leaving(place: Place) -> None:
    election = place.gateway("gw-0")
    await election.step()
    with pytest.MonkeyPatch.context() as patched, capture_logs() as logs:
        patched.setattr("gateway.control.scaling.cluster.leading.LEAVE_S", 0.01)
        async with election._asking:  # somebody asks, and waits
            await election.leave()
    assert ([it["event"] for it in logs], election.leads) == (["lease_not_released"], False)


async def test_an_election_outlives_what_nobody_thought_of(place: Place) -> None:
    election = place.gateway("gw-0")
    turns: list[bool] = []
    step = election.step

    async def broken() -> None:
        election.step = step  # type: ignore[method-assign]
        raise RuntimeError("nobody thought of this")

    async def pause(seconds: float, over: asyncio.Event) -> None:
        turns.append(election.leads)
        if len(turns) == 2:
            election.end()

    election.step = broken  # type: ignore[method-assign]
    with capture_logs() as logs:
        await election.run(pause)
    assert turns == [False, True]
    assert [it["event"] for it in logs] == ["election_broke", "lease_failed", "lease_recovered", "leads"]


async def test_who_sleeps_is_written_and_stays_written() -> None:
    supervisor = Supervisor()
    with running_cluster() as cluster:
        leading = Leading(supervisor.spawn, Metrics(()), identity="gw-0")
        engine = {
            "kind": "vllm",
            "replicas": [{"url": "http://10.0.0.1:8000", "id": "e-0"}],
            "autoscale": {"max": 1, "sleep": {}},
        }
        written = {
            "models": {"m": {"targets": [{"engine": "e"}]}},
            "admin": {"listen": "0.0.0.0:8081"},
            "peers": {"dns": "penstock-peers", "port": 8081, "key": "sk-of-the-peers"},
            "autoscale": {"lease": {"name": "lead", "namespace": "default", "api_url": cluster.url}},
            "engines": {"e": engine},
        }
        leading.use(load_settings(json.dumps(written), {}).settings)
        await until(lambda: leading.leads)
        leading.tell("e/sleep", ["e-0"], [])
        leading.tell("gone/sleep", ["x"], [])

        def said() -> Any:
            return cluster.ask("GET", f"{LEASES}/lead")["metadata"].get("annotations", {}).get(DRAINING)

        await until(said, '{"e/sleep":[["e-0"],[]]}')
        leading.use(load_settings(json.dumps(written), {}).settings)
        assert leading.told("e/sleep") == (["e-0"], [])
        await supervisor.close()
