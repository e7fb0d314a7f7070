"""One engine's task against the API server: what is read, what is written, and what becomes of every refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from engines.kinds.autoscaling import WorkloadSection
from engines.settings.discovery import KubernetesPlace
from gateway.control.membership import Found
from gateway.control.scaling.cluster.replicas import ClusterReplicas
from gateway.control.scaling.cluster.scaling import ClusterScaling, EngineScaling
from gateway.kubernetes.api import ApiError
from gateway.process.supervisor import Supervisor
from gateway.settings import load_settings
from gateway.telemetry.metrics import Metrics
from tests.gateway.kubernetes.spawning import spawn
from tests.kubernetes.cluster import APPS, COST, GROUPS, PODS, Cluster, running_cluster
from tests.kubernetes.fake_api.patches import MERGE

pytestmark = pytest.mark.anyio


class Roll:
    """Who is found, and who was asked to drain."""

    def __init__(self, *serving: str) -> None:
        self.there = list(serving)
        self.ending: list[str] = []
        self.drained: set[str] = set()

    def found(self, engine: str) -> Found:
        return Found(self.there, self.ending, [id for id in self.there if id not in self.ending])

    def retire(self, engine: str, replica: str, leaving: bool = True) -> bool:
        (self.drained.add if leaving else self.drained.discard)(replica)
        return True


class Leadership:
    """Whose turn it is, as the test says."""

    def __init__(self) -> None:
        self.leads = True
        self.said: dict[str, tuple[list[str], list[str]]] = {}

    def told(self, engine: str) -> tuple[list[str], list[str]]:
        return self.said.get(engine, ([], []))

    def tell(self, engine: str, leaving: Any, going: Any) -> None:
        self.said[engine] = list(leaving), list(going)

    def watch(self, changed: Any) -> None:
        """The test steps by hand."""


class Bench:
    """The task, stepped by hand."""

    def __init__(self, cluster: Cluster, *serving: str, leadership: Leadership | None = None, **target: Any) -> None:
        self.roll = Roll(*serving)
        self.leadership = leadership or Leadership()
        self.metrics = Metrics(())
        self.now = 0.0
        self.engine = EngineScaling(
            "eng",
            (
                WorkloadSection(**{"name": "eng", **target}),
                KubernetesPlace(service="eng", namespace="default", api_url=cluster.url),
            ),
            spawn,
            self.roll,
            self.leadership,
            self.metrics,
            lambda: self.now,
        )

    async def step(self, seconds: float = 1.0) -> None:
        self.now += seconds
        await self.engine.step()

    def writes(self) -> dict[str, float]:
        samples = self.metrics.snapshot().counters
        return {one.labels[1]: one.value for one in samples if one.name == "penstock_scale_writes_total"}


class Place:
    """A cluster, and the benches over it, which are closed in the end."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.benches: list[Bench] = []

    def bench(self, *serving: str, leadership: Leadership | None = None, **target: Any) -> Bench:
        self.benches.append(Bench(self.cluster, *serving, leadership=leadership, **target))
        return self.benches[-1]


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    with running_cluster() as cluster:
        place = Place(cluster)
        yield place
        for bench in place.benches:
            await bench.engine.close()


async def test_before_it_was_read_nothing_is_written(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(3)
    bench = place.bench()
    assert not bench.engine.acts
    bench.engine.scale(8, {}, 0.0)
    await bench.step()
    assert (bench.engine.acts, cluster.replicas()) == (True, 3)
    bench.engine.scale(5, {}, 0.0)
    await bench.step()
    assert cluster.replicas() == 5


async def test_who_drains_is_marked_and_goes_only_when_it_has_nothing_left(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(2)
    for name in ("eng-a", "eng-b"):
        cluster.pod(name)
    bench = place.bench("eng-a", "eng-b", deletion_cost=True)
    await bench.step()
    bench.engine.scale(1, {"eng-a": 3}, bench.now)
    assert (bench.roll.drained, bench.leadership.said["eng"]) == ({"eng-b"}, (["eng-b"], []))
    await bench.step()
    assert (cluster.replicas(), cluster.cost("eng-a"), cluster.cost("eng-b")) == (2, None, "-1000")
    bench.engine.idle(["eng-b"], bench.now)
    assert bench.leadership.said["eng"] == ([], ["eng-b"])
    await bench.step()
    assert (cluster.replicas(), cluster.cost("eng-b")) == (1, "-2000")
    assert bench.roll.drained == {"eng-b"}


async def test_who_is_wanted_again_is_marked_no_more(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(1)
    cluster.pod("eng-a")
    bench = place.bench("eng-a", deletion_cost=True)
    await bench.step()
    bench.engine.scale(0, {}, bench.now)
    await bench.step()
    assert cluster.cost("eng-a") == "-1000"
    bench.engine.scale(1, {}, bench.now)
    assert bench.roll.drained == set()
    await bench.step()
    assert (cluster.replicas(), cluster.cost("eng-a")) == (1, None)


async def test_a_conflict_over_another_field_is_tried_again(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(1)
    bench = place.bench()
    await bench.step()
    bench.engine.scale(4, {}, bench.now)
    cluster.api.meanwhile = cluster.touch
    await bench.step()
    assert (cluster.replicas(), bench.writes()) == (4, {"conflict": 1.0, "written": 1.0})


async def test_a_number_that_somebody_else_writes_is_seen_said_and_taken_as_it_is(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(1)
    bench = place.bench()
    await bench.step()
    bench.engine.scale(2, {}, bench.now)
    await bench.step()
    cluster.scale(7)
    with capture_logs() as logs:
        await bench.step()
    assert [(it["event"], it["had"], it["replicas"]) for it in logs] == [("replicas_changed_elsewhere", 2, 7)]
    assert (cluster.replicas(), bench.engine.replicas.kept) == (7, 7)
    assert bench.writes() == {"foreign": 1.0, "written": 1.0}
    bench.engine.scale(3, {}, bench.now)
    await bench.step()
    assert cluster.replicas() == 3


async def test_a_gateway_that_does_not_lead_drains_whom_the_leader_drains_and_writes_nothing(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(3)
    leadership = Leadership()
    leadership.leads = False
    leadership.said["eng"] = ["eng-a"], ["eng-b"]
    bench = place.bench("eng-a", "eng-b", "eng-c", leadership=leadership)
    await bench.step()
    assert (bench.engine.acts, bench.roll.drained) == (False, {"eng-a", "eng-b"})
    assert (cluster.replicas(), bench.engine.standing(bench.now).leaving) == (3, ["eng-a"])
    leadership.said["eng"] = [], ["eng-b"]
    cluster.scale(2)
    await bench.step()
    assert bench.roll.drained == {"eng-b"}
    leadership.leads = True
    assert not bench.engine.acts
    await bench.step()
    assert (bench.engine.acts, cluster.replicas(), bench.writes()) == (True, 2, {})


async def test_one_that_loses_the_lease_between_two_writes_writes_no_second(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(1)
    bench = place.bench()
    await bench.step()
    bench.engine.scale(4, {}, bench.now)

    def lost() -> None:
        bench.leadership.leads = False
        cluster.touch()

    cluster.api.meanwhile = lost
    await bench.step()
    assert (cluster.replicas(), bench.writes()) == (1, {"conflict": 1.0})


async def test_what_is_forbidden_is_told_with_the_rule_that_is_missing(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(1)
    cluster.pod("eng-a")
    bench = place.bench("eng-a", deletion_cost=True)
    await bench.step()
    cluster.api.forbidden = {("patch", "deployments/scale")}
    bench.engine.scale(2, {}, bench.now)
    with pytest.raises(ApiError) as refused:
        await bench.step()
    assert str(refused.value) == (
        "the gateway may not patch deployments/scale: its Role lacks "
        '{apiGroups: ["apps"], resources: [deployments/scale], resourceNames: [eng], verbs: [patch]}'
    )
    assert bench.writes() == {"failed": 1.0}
    cluster.api.forbidden = {("patch", "pods"), ("list", "pods")}
    bench.engine.scale(1, {}, bench.now)
    bench.engine.scale(0, {}, bench.now)
    await bench.step()
    problem = bench.engine.standing(bench.now).problem
    assert problem == (
        'the gateway may not patch pods: its Role lacks {apiGroups: [""], resources: [pods], verbs: [patch]}'
    )
    cluster.api.forbidden = set()
    await bench.step()
    assert (bench.engine.standing(bench.now).problem, cluster.cost("eng-a")) == ("", "-1000")


async def test_a_workload_that_is_not_there_is_told_by_name(place: Place) -> None:
    bench = place.bench()
    with pytest.raises(ApiError) as missing:
        await bench.step()
    assert str(missing.value) == "there is no deployments.apps eng in the namespace default"


async def test_why_pods_do_not_start_is_told_in_the_words_of_the_cluster(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(0)
    bench = place.bench(unschedulable_s=30)
    await bench.step()
    bench.engine.scale(2, {}, bench.now)
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}
    cluster.pod("eng-a", containerStatuses=[{"name": "engine", "state": {"waiting": waiting}}])
    no_node = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no GPU"}
    cluster.pod("eng-b", conditions=[no_node])
    with capture_logs() as logs:
        await bench.step()
        await bench.step()
    standing = bench.engine.standing(bench.now)
    image = 'pod eng-a: engine: ImagePullBackOff; Back-off pulling image "x"'
    assert (set(standing.starting), standing.failing, standing.why) == ({"eng-a", "eng-b"}, ["eng-a"], image)
    assert [it["why"] for it in logs if it["event"] == "replica_does_not_start"] == [image]
    await bench.step(30.0)
    standing = bench.engine.standing(bench.now)
    assert standing.failing == ["eng-a", "eng-b"]
    assert bench.engine.replicas.troubles["eng-b"] == "pod eng-b: Unschedulable; 0/3 nodes: no GPU"


async def test_the_last_of_a_leader_worker_set_drain_and_go(place: Place) -> None:
    cluster = place.cluster
    cluster.group(3)
    bench = place.bench("eng-0", "eng-1", "eng-2", kind="LeaderWorkerSet")
    await bench.step()
    bench.engine.scale(1, {"eng-2": 5}, bench.now)
    await bench.step()
    assert (bench.roll.drained, cluster.replicas(GROUPS)) == ({"eng-1", "eng-2"}, 3)
    bench.engine.idle(["eng-1", "eng-2"], bench.now)
    await bench.step()
    assert cluster.replicas(GROUPS) == 1


async def test_the_task_reads_again_at_once_when_another_number_is_wanted_and_outlives_failures(
    place: Place,
) -> None:
    cluster = place.cluster
    bench = place.bench()
    rests: list[float] = []
    ready = asyncio.Event()

    async def pause(seconds: float, over: asyncio.Event) -> None:
        rests.append(seconds)
        ready.set()
        await over.wait()

    with capture_logs() as logs:
        running = asyncio.ensure_future(bench.engine.run(pause))
        await ready.wait()
        assert [it["why"] for it in logs] == ["there is no deployments.apps eng in the namespace default"]
        cluster.deployment(1)
        for wanted in (1, 4):
            ready.clear()
            bench.engine.scale(wanted, {}, 0.0) if wanted > 1 else bench.engine.look_again()
            await ready.wait()
        assert cluster.ask("GET", f"{APPS}/eng")["spec"]["replicas"] == 4
        assert rests == [5.0, 2.0, 2.0]
        bench.engine.end()
        await running
    assert "scaling_recovered" in [it["event"] for it in logs]


async def test_one_that_leaves_and_is_not_ready_for_a_moment_drains_on(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(2)
    bench = place.bench("eng-a", "eng-b")
    bench.engine.replicas = ClusterReplicas(chosen=True, ordered=False, drain_s=600.0, prefix="eng")
    await bench.step()
    bench.engine.scale(1, {"eng-a": 1}, bench.now)
    bench.roll.ending = ["eng-b"]
    await bench.step()
    bench.engine.idle(["eng-b"], bench.now)
    assert (bench.roll.drained, bench.engine.replicas.target) == ({"eng-b"}, 2)
    bench.roll.ending = []
    await bench.step()
    standing = bench.engine.standing(bench.now)
    assert (bench.roll.drained, standing.ready, standing.leaving) == ({"eng-b"}, ["eng-a"], ["eng-b"])
    bench.roll.there = ["eng-a"]
    await bench.step()
    assert bench.roll.drained == set()


async def test_who_is_held_back_is_said_again_to_a_roll_that_has_forgotten(place: Place) -> None:
    place.cluster.deployment(2)
    bench = place.bench("eng-a", "eng-b")
    bench.leadership.leads = False
    bench.leadership.said["eng"] = ["eng-b"], []
    await bench.step()
    bench.roll.drained.clear()
    await bench.step()
    assert bench.roll.drained == {"eng-b"}


async def test_without_the_right_to_list_pods_a_start_is_waited_for_and_the_right_is_named(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(0)
    bench = place.bench()
    await bench.step()
    bench.engine.scale(2, {}, bench.now)
    cluster.pod("eng-a")
    await bench.step()
    cluster.api.forbidden = {("list", "pods")}
    await bench.step(100.0)
    standing = bench.engine.standing(bench.now)
    assert (set(standing.starting), standing.failing) == ({"eng-a", "+1"}, [])
    assert standing.problem.endswith('{apiGroups: [""], resources: [pods], verbs: [list]}')
    cluster.api.forbidden = set()
    await bench.step()
    assert bench.engine.standing(bench.now).failing == ["+1"]


async def test_the_number_falls_only_when_who_goes_is_marked_and_not_otherwise(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(3)
    for name in ("eng-a", "eng-b", "eng-c"):
        cluster.pod(name)
    bench = place.bench("eng-a", "eng-b", "eng-c", deletion_cost=True)
    await bench.step()
    bench.engine.scale(1, {"eng-a": 3}, bench.now)
    bench.engine.idle(["eng-c"], bench.now)
    cluster.api.forbidden = {("patch", "pods")}
    await bench.step()
    assert (cluster.replicas(), bench.engine.replicas.target) == (3, 2)
    cluster.api.forbidden = set()
    cluster.api.meanwhile = lambda: bench.engine.idle(["eng-b"], bench.now)  # while the first is being marked
    await bench.step()
    assert (cluster.replicas(), cluster.cost("eng-b"), cluster.cost("eng-c")) == (1, "-2000", "-2000")
    order = [one.path.rpartition("/")[2] for one in cluster.api.requests if one.method == "PATCH"]
    assert order[-1] == "scale"
    assert set(order[:-1]) == {"eng-b", "eng-c"}


async def test_one_that_goes_while_the_number_is_written_is_not_in_it(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(3)
    for name in ("eng-a", "eng-b", "eng-c"):
        cluster.pod(name)
    bench = place.bench("eng-a", "eng-b", "eng-c", deletion_cost=True)
    await bench.step()
    bench.engine.scale(1, {"eng-a": 3}, bench.now)
    await bench.step()
    bench.engine.idle(["eng-c"], bench.now)
    await bench.engine._mark("a=b")
    written: list[int] = []

    def meanwhile() -> None:
        bench.engine.idle(["eng-b"], bench.now)
        cluster.api.meanwhile = lambda: written.append(cluster.replicas())

    cluster.api.meanwhile = meanwhile
    await bench.step()
    assert written == [2]  # the first number; then the second was marked, and only then the next was written
    assert (cluster.replicas(), cluster.cost("eng-b")) == (1, "-2000")


async def test_who_takes_over_clears_what_another_marked(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(2)
    for name, cost in (("eng-a", "-2000"), ("eng-b", "7")):
        cluster.pod(name)
        cluster.ask("PATCH", f"{PODS}/{name}", {"metadata": {"annotations": {COST: cost}}}, MERGE)
    bench = place.bench("eng-a", "eng-b", deletion_cost=True)
    await bench.step()
    assert (cluster.cost("eng-a"), cluster.cost("eng-b")) == (None, "7")


async def test_whose_scaling_ends_gives_everybody_back_whatever_is_on_the_way(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(3)
    bench = place.bench("eng-a", "eng-b", "eng-c")
    bench.engine.replicas = ClusterReplicas(chosen=True, ordered=False, drain_s=600.0, prefix="eng")
    await bench.step()
    bench.engine.scale(1, {"eng-a": 1}, bench.now)
    bench.engine.idle(["eng-b"], bench.now)
    assert bench.roll.drained == {"eng-b", "eng-c"}
    cluster.api.meanwhile = bench.engine.end  # while the number is written
    await bench.step()
    assert (bench.roll.drained, bench.leadership.said["eng"]) == (set(), ([], []))
    await bench.step()
    assert bench.roll.drained == set()


async def test_a_gateway_that_cannot_read_the_number_drains_whom_the_leader_drains(place: Place) -> None:
    place.cluster.deployment(2)
    bench = place.bench("eng-a", "eng-b")
    bench.leadership.leads = False
    bench.leadership.said["eng"] = ["eng-b"], []
    place.cluster.api.forbidden = {("get", "deployments/scale")}
    with pytest.raises(ApiError):
        await bench.step()
    assert bench.roll.drained == {"eng-b"}


async def test_an_answer_that_is_lost_makes_our_own_number_nobody_elses(place: Place) -> None:
    cluster = place.cluster
    cluster.deployment(1)
    bench = place.bench()
    await bench.step()
    bench.engine.scale(4, {}, bench.now)
    write = bench.engine._workload.write

    async def lost(replicas: int, version: str) -> Any:
        await write(replicas, version)
        raise ApiError("the API server is not reached: it broke off")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bench.engine._workload, "write", lost)
        with pytest.raises(ApiError):
            await bench.step()
    await bench.step()
    assert (cluster.replicas(), bench.writes()) == (4, {"failed": 1.0})


async def test_a_look_that_breaks_in_an_unforeseen_way_is_told_and_the_task_goes_on(place: Place) -> None:
    place.cluster.deployment(1)
    bench = place.bench()
    turns = 0

    async def pause(seconds: float, over: asyncio.Event) -> None:
        nonlocal turns
        turns += 1
        bench.roll.found = found if turns == 1 else bench.roll.found  # type: ignore[method-assign]
        if turns == 2:
            bench.engine.end()

    found = bench.roll.found

    def broken(engine: str) -> Any:
        raise RuntimeError("nobody thought of this")

    bench.roll.found = broken  # type: ignore[method-assign]
    with capture_logs() as logs:
        await bench.engine.run(pause)
    assert [it["event"] for it in logs] == ["scaling_broke", "scaling_failed", "scaling_recovered"]
    assert logs[1]["why"] == "RuntimeError: nobody thought of this"


async def test_the_age_of_the_last_look_grows_while_the_api_server_refuses_any_part_of_it(place: Place) -> None:
    place.cluster.deployment(1)
    bench = place.bench()
    await bench.step(3.0)
    assert bench.engine.succeeded_s == bench.now == 3.0
    for forbidden in ("get", "deployments/scale"), ("list", "pods"):
        place.cluster.api.forbidden = {forbidden}
        with capture_logs(), suppress(ApiError):
            await bench.step()
        assert bench.engine.succeeded_s == 3.0
    place.cluster.api.forbidden = set()
    with capture_logs():
        await bench.step()
    assert bench.engine.succeeded_s == bench.now


async def test_each_engine_that_is_scaled_shows_its_age() -> None:
    supervisor = Supervisor()
    with running_cluster() as cluster, capture_logs():
        cluster.deployment(1)
        scaling = ClusterScaling(supervisor.spawn, Roll(), Leadership(), Metrics(()))
        models = {"m": {"targets": [{"engine": "s"}]}}
        engines = {"s": {"kind": "simulator"}, "e": cluster.section()}
        scaling.use(load_settings(json.dumps({"models": models, "engines": engines}), {}).settings)
        assert list(scaling.ages_s()) == ["scaling:e"]
        del engines["e"]
        scaling.use(load_settings(json.dumps({"models": models, "engines": engines}), {}).settings)
        assert scaling.ages_s() == {}
        await supervisor.close()
