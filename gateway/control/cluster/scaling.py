"""The actuator of engines in Kubernetes: each has a task that reads its workload's /scale, and writes it where it acts.

    every 5 s, every 2 s while replicas come or leave, and at once when another number is wanted:
    read /scale      another number than we wrote: somebody else writes too. It is said, counted, and taken as it is
    mark pods        those that leave cost least to delete, those that have nothing left the least of all
    write /scale     with the version that was read; after a conflict it is read again
    list pods        while some are on their way: which they are, and why they do not start

A gateway that does not hold the Lease reads, drains whom the holder drains, and writes nothing.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final, Protocol

import structlog

from engines.kinds.autoscaling import WorkloadSection
from engines.port import Spawn
from engines.settings.discovery import KubernetesPlace
from gateway import clock
from gateway.control.actuator import Standing
from gateway.control.cluster.replicas import ClusterReplicas
from gateway.kubernetes.api import Api, ApiError, api_place, own_namespace
from gateway.kubernetes.pods import trouble
from gateway.kubernetes.slices import MOST_NAME
from gateway.kubernetes.workload import Scale, Workload
from gateway.pause import Pause, pause
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.scaling import SCALE_WRITES

EVERY_S: Final = 5.0
BUSY_EVERY_S: Final = 2.0
MOST_CONFLICTS: Final = 5
"""In one step. The version of a workload moves with each pod of it that changes, so that conflicts are usual."""
LEAVES: Final = -1_000
"""What the deletion of a pod that drains costs; 0 is usual."""
GOES: Final = -2_000

log = structlog.get_logger()


class Roll(Protocol):
    """Who serves each engine, as the control plane knows it."""

    def found(self, engine: str) -> tuple[Collection[str], Collection[str]]:
        """The replicas that do not end, and those of them that are healthy."""

    def drain(self, engine: str, replica: str, draining: bool = True) -> bool:
        """Send a replica nothing new, or again."""


class Leadership(Protocol):
    """Which gateway acts."""

    @property
    def leads(self) -> bool:
        """Whether it is this one, at this moment."""

    def told(self, engine: str) -> tuple[Collection[str], Collection[str]]:
        """Whom the one that acts has leave, and whom it has go."""

    def tell(self, engine: str, leaving: Collection[str], going: Collection[str]) -> None:
        """Tell the others so, as the one that acts."""

    def watch(self, changed: Callable[[], None]) -> None:
        """`changed` is called when another acts, or has others leave."""


class ClusterScaling:
    """Satisfies `gateway.control.actuator.Actuator`."""

    def __init__(
        self,
        spawn: Spawn,
        roll: Roll,
        leadership: Leadership,
        metrics: Metrics,
        *,
        pause: Pause = pause,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._spawn = spawn
        self._roll = roll
        self._leadership = leadership
        self._metrics = metrics
        self._pause = pause
        self._monotonic = monotonic
        self._engines: dict[str, EngineScaling] = {}
        leadership.watch(self._look_again)

    def _look_again(self) -> None:
        for one in self._engines.values():
            one.look_again()

    def use(self, settings: Settings) -> None:
        """Scale what these settings say. What is the same goes on."""
        wanted: dict[str, tuple[WorkloadSection, KubernetesPlace]] = {}
        for name, section in settings.engines.items():
            target = section.autoscale.kubernetes if section.autoscale is not None else None
            found = section.found_at
            if target is not None and found is not None and found.kubernetes is not None:
                wanted[name] = target, found.kubernetes
        for name in [name for name, one in self._engines.items() if one.section != wanted.get(name)]:
            self._engines.pop(name).end()
        for name, place in wanted.items():
            if name not in self._engines:
                one = EngineScaling(name, place, self._roll, self._leadership, self._metrics, self._monotonic)
                self._engines[name] = one
                self._spawn(f"scaling of {name}", functools.partial(one.run, self._pause))

    def scales(self, engine: str) -> bool:
        """Whether it is one of these."""
        return engine in self._engines

    def acts(self, engine: str) -> bool:
        one = self._engines.get(engine)
        return one is not None and one.acts

    def standing(self, engine: str, now: float) -> Standing:
        one = self._engines.get(engine)
        return Standing() if one is None else one.standing(now)

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        one = self._engines.get(engine)
        if one is not None and one.acts:
            one.scale(wanted, in_flight, now)

    def idle(self, engine: str, ids: Collection[str]) -> None:
        one = self._engines.get(engine)
        if one is not None and one.acts:
            one.idle(ids, self._monotonic())

    def release(self, engine: str) -> None:
        one = self._engines.get(engine)
        if one is not None:
            one.release()


class EngineScaling:
    """One engine."""

    def __init__(
        self,
        name: str,
        section: tuple[WorkloadSection, KubernetesPlace],
        roll: Roll,
        leadership: Leadership,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self.section = section
        self._name = name
        self._target, place = section
        self._roll = roll
        self._leadership = leadership
        self._metrics = metrics
        self._monotonic = monotonic
        self._api = Api(api_place(place, os.environ))
        self._workload = Workload(self._api, self._target.kind, place.namespace or own_namespace(), self._target.name)
        self.replicas = ClusterReplicas(
            chosen=self._target.deletion_cost,
            ordered=self._target.kind == "LeaderWorkerSet",
            drain_s=self._target.drain_s,
            prefix=self._target.name,
        )
        self._spec: int | None = None
        """What the workload said when we read or wrote it last."""
        self._led = False
        """Whether we led when we did."""
        self._names: dict[str, str] = {}
        """The pods' names by the replicas' ids, where these are shorter."""
        self._costs: dict[str, int] = {}
        self._held: set[str] = set()
        self._problem = ""
        self._over = False
        self._wake = asyncio.Event()

    @property
    def acts(self) -> bool:
        """Whether we are the one that writes, and know what there is."""
        return self._leadership.leads and self._led and self.replicas.target is not None

    def standing(self, now: float) -> Standing:
        self._see(now)
        return replace(self.replicas.standing(now), problem=self._problem)

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def scale(self, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        """See `ClusterReplicas.scale`."""
        before = self.replicas.target
        drain, resume = self.replicas.scale(wanted, in_flight, now)
        self._drained(before, drain, resume)

    def idle(self, ids: Collection[str], now: float) -> None:
        """See `ClusterReplicas.idle`."""
        before = self.replicas.target
        self.replicas.idle(ids, now)
        self._drained(before, (), ())

    def release(self) -> None:
        """Nobody is to leave any more."""
        self._drained(self.replicas.target, (), self.replicas.release())

    def look_again(self) -> None:
        """Read and write without a rest before it."""
        self._wake.set()

    def end(self) -> None:
        """It is scaled by us no more."""
        self.release()
        self._over = True
        self._wake.set()

    def _drained(self, before: int | None, drain: Collection[str], resume: Collection[str]) -> None:
        self._hold(drain, resume)
        self._leadership.tell(self._name, [*self.replicas.leaving], [*self.replicas.going])
        if drain or resume or self.replicas.target != before:
            self._wake.set()

    def _hold(self, drain: Collection[str], resume: Collection[str]) -> None:
        for id in drain:
            self._held.add(id)
            self._roll.drain(self._name, id, True)
        for id in resume:
            self._held.discard(id)
            self._roll.drain(self._name, id, False)

    # -- the task ------------------------------------------------------------------------------------------------------

    async def run(self, pause: Pause) -> None:
        """Read and write until it is ended."""
        try:
            while not self._over:
                self._wake.clear()
                try:
                    await self.step()
                except ApiError as error:
                    self._said(str(error), error.status)
                standing = self.replicas.standing(self._monotonic())
                await pause(BUSY_EVERY_S if standing.starting or standing.leaving else EVERY_S, self._wake)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close what it asks the API server by."""
        await self._api.close()

    async def step(self) -> None:
        """One look."""
        scale = await self._workload.read()
        self._see(self._monotonic())
        self._take(scale)
        problem = ""
        if self._leadership.leads:
            problem = await self._mark()
            scale = await self._write(scale)
        problem = await self._look_at_pods(scale.selector) or problem
        if problem:
            self._said(problem)
        elif self._problem:
            self._problem = ""
            log.info("scaling_recovered", engine=self._name)

    def _see(self, now: float) -> None:
        listed, serving = self._roll.found(self._name)
        self._held.intersection_update(listed)
        self._hold((), self.replicas.seen(listed, serving, now))

    def _take(self, scale: Scale) -> None:
        """What the workload says now."""
        leads, now = self._leadership.leads, self._monotonic()
        if not leads or not self._led:
            leaving, going = self._leadership.told(self._name)
            told = {*leaving, *going}
            self._hold(told - self._held, self._held - told)
            self.replicas.adopt(scale.replicas, leaving, going, now)
        elif scale.replicas != self._spec:
            self._metrics.count(SCALE_WRITES, self._name, "foreign")
            log.warning("replicas_changed_elsewhere", engine=self._name, had=self._spec, replicas=scale.replicas)
            self.replicas.adopt(scale.replicas, [*self.replicas.leaving], [*self.replicas.going], now)
        self._led, self._spec = leads, scale.replicas

    async def _write(self, scale: Scale) -> Scale:
        for _ in range(MOST_CONFLICTS):
            target = self.replicas.target
            if target is None or target == scale.replicas or not self._leadership.leads:
                break
            had = scale.replicas
            try:
                scale = await self._workload.write(target, scale.version)
            except ApiError as error:
                if error.reason != "Conflict":
                    self._metrics.count(SCALE_WRITES, self._name, "failed")
                    raise
                self._metrics.count(SCALE_WRITES, self._name, "conflict")
                scale = await self._workload.read()
                self._take(scale)
                continue
            self._spec = scale.replicas
            self._metrics.count(SCALE_WRITES, self._name, "written")
            log.info("replicas_written", engine=self._name, had=had, replicas=scale.replicas)
        return scale

    async def _mark(self) -> str:
        """Have those go first that leave. Returns what went wrong: the number is written all the same."""
        if not self._target.deletion_cost:
            return ""
        wanted = {**dict.fromkeys(self.replicas.leaving, LEAVES), **dict.fromkeys(self.replicas.going, GOES)}
        try:
            for id in {**self._costs, **wanted}:
                cost = wanted.get(id)
                if cost != self._costs.get(id):
                    await self._workload.cost(self._names.get(id, id), cost)
                    self._costs.pop(id, None)
                    if cost is not None:
                        self._costs[id] = cost
        except ApiError as error:
            return str(error)
        return ""

    async def _look_at_pods(self, selector: str) -> str:
        """See who is on the way, and why some fail. Returns what went wrong."""
        now = self._monotonic()
        if not selector or not self.replicas.standing(now).starting:
            self.replicas.pods((), {}, now)
            return ""
        try:
            pods = await self._workload.pods(selector)
        except ApiError as error:
            self.replicas.pods((), {}, now)
            return str(error)
        self._names = {pod.name[:MOST_NAME]: pod.name for pod in pods}
        _, serving = self._roll.found(self._name)
        gone = {*serving, *self.replicas.leaving, *self.replicas.going}
        coming = {id: pod for pod in pods if not pod.ending and (id := pod.name[:MOST_NAME]) not in gone}
        ids = sorted(coming, key=lambda id: (str(coming[id].metadata.created), id))
        before = self.replicas.troubles
        self.replicas.pods(ids, before, now)
        target, troubles = self._target, dict[str, str]()
        for id in ids:
            why = trouble(coming[id], self.replicas.waited_s(id, now), target.start_s, target.unschedulable_s)
            if why:
                troubles[id] = why
        for id in troubles.keys() - before.keys():
            log.warning("replica_does_not_start", engine=self._name, why=troubles[id])
        self.replicas.pods(ids, troubles, now)
        return ""

    def _said(self, why: str, status: int = 0) -> None:
        if why != self._problem:
            self._problem = why
            log.error("scaling_failed", engine=self._name, why=why, **({"status": status} if status else {}))
