"""The actuator of engines in Kubernetes: each has a task that reads its workload's /scale, and writes it where it acts.

    every 5 s, every 2 s while replicas come or leave, and at once when another number is wanted:
    read /scale      another number than we wrote: somebody else writes too. It is said, counted, and taken as it is
    mark pods        those that leave cost least to delete, those that have nothing left the least of all; the number
                     does not fall before all of these are known to be marked
    write /scale     with the version that was read; after a conflict it is read again
    list pods        while some are on their way: which they are, and why they do not start

A gateway that does not hold the Lease reads, drains whom the holder drains, and writes nothing. Whoever is held back
from requests is at any moment whoever leaves or goes: `_hold` makes it so.
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
from gateway.control.membership import Found
from gateway.control.scaling.actuator import Standing
from gateway.control.scaling.cluster.marks import PodMarks
from gateway.control.scaling.cluster.replicas import ClusterReplicas
from gateway.control.scaling.cluster.workloads import workloads
from gateway.kubernetes.api import Api, ApiError, api_place, own_namespace
from gateway.kubernetes.pods import trouble
from gateway.kubernetes.slices import MOST_NAME
from gateway.kubernetes.workload import Scale, Workload
from gateway.process.pause import Pause, pause
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.scaling import SCALE_WRITES

EVERY_S: Final = 5.0
BUSY_EVERY_S: Final = 2.0
MOST_CONFLICTS: Final = 5
"""In one step. The version of a workload moves with each pod of it that changes, so that conflicts are usual."""
STEP_S: Final = 60.0
"""A look that takes longer is given up, and begun again."""

log = structlog.get_logger()


class Roll(Protocol):
    """Who serves each engine, as the control plane knows it."""

    def found(self, engine: str) -> Found:
        """Its replicas."""

    def retire(self, engine: str, replica: str, leaving: bool = True) -> bool:
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
    """Satisfies `gateway.control.scaling.actuator.Actuator`."""

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
        wanted = workloads(settings)
        for name in [name for name, one in self._engines.items() if one.section != wanted.get(name)]:
            self._engines.pop(name).end()
        for name, place in wanted.items():
            if name not in self._engines:
                one = EngineScaling(
                    name, place, self._spawn, self._roll, self._leadership, self._metrics, self._monotonic
                )
                self._engines[name] = one
                self._spawn(f"scaling of {name}", functools.partial(one.run, self._pause))

    def ages_s(self) -> dict[str, float]:
        """Seconds since each engine's workload was last read, and written where that was due, without a problem."""
        now = self._monotonic()
        return {f"scaling:{name}": now - one.succeeded_s for name, one in self._engines.items()}

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
        spawn: Spawn,
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
        self._api = Api(api_place(place, os.environ), spawn)
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
        self._tried: int | None = None
        """What we sent and do not know whether it was written."""
        self._marks = PodMarks(self._workload)
        self._held: set[str] = set()
        self._problem = ""
        self._over = False
        self._wake = asyncio.Event()
        self.succeeded_s = monotonic()
        """When a look last ended without a problem; before, when this began."""

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
        self._changed(before, *self.replicas.scale(wanted, in_flight, now))

    def idle(self, ids: Collection[str], now: float) -> None:
        """See `ClusterReplicas.idle`."""
        before = self.replicas.target
        self.replicas.idle(ids, now)
        self._changed(before, (), ())

    def release(self) -> None:
        """Nobody is to leave any more."""
        self._changed(self.replicas.target, (), self.replicas.release())

    def look_again(self) -> None:
        """Read and write without a rest before it."""
        self._wake.set()

    def end(self) -> None:
        """It is scaled by us no more: whoever is still there takes requests."""
        self._over = True
        self.replicas.follow((), (), self._monotonic())
        self._hold()
        self._leadership.tell(self._name, (), ())
        self._wake.set()

    def _changed(self, before: int | None, drain: Collection[str], resume: Collection[str]) -> None:
        self._hold()
        self._leadership.tell(self._name, [*self.replicas.leaving], [*self.replicas.going])
        if drain or resume or self.replicas.target != before:
            self._wake.set()

    def _hold(self) -> None:
        hold = {*self.replicas.leaving, *self.replicas.going}
        for id in self._held - hold:
            self._roll.retire(self._name, id, False)
        for id in hold:  # said again: one that was gone for a moment is as new to the roll
            self._roll.retire(self._name, id, True)
        self._held = hold

    # -- the task ------------------------------------------------------------------------------------------------------

    async def run(self, pause: Pause) -> None:
        """Read and write until it is ended."""
        try:
            while not self._over:
                self._wake.clear()
                try:
                    async with asyncio.timeout(STEP_S):
                        await self.step()
                except ApiError as error:
                    self._said(str(error), error.status)
                except TimeoutError:
                    self._said(f"a look at the API server takes longer than {STEP_S:.0f} s")
                except Exception as error:  # whatever it is, an engine that nobody scales any more is worse
                    log.error("scaling_broke", engine=self._name, exc_info=error)
                    self._said(f"{type(error).__name__}: {error}")
                standing = self.replicas.standing(self._monotonic())
                await pause(BUSY_EVERY_S if standing.starting or standing.leaving else EVERY_S, self._wake)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close what it asks the API server by."""
        await self._api.close()

    async def step(self) -> None:
        """One look."""
        self._see(self._monotonic())
        if not self._leadership.leads:
            self._follow()  # also where the number cannot be read
        scale = await self._workload.read()
        if self._over:
            return
        self._see(self._monotonic())
        self._take(scale)
        problem = ""
        if self._leadership.leads:
            scale, problem = await self._write(scale)
        problem = await self._look_at_pods(scale.selector) or problem
        if problem:
            self._said(problem)
            return
        self.succeeded_s = self._monotonic()
        if self._problem:
            self._problem = ""
            log.info("scaling_recovered", engine=self._name)

    def _see(self, now: float) -> None:
        if not self._over:
            self.replicas.seen(self._roll.found(self._name), now, unsure=self._tried is not None)
            self._hold()

    def _follow(self) -> None:
        self.replicas.follow(*self._leadership.told(self._name), self._monotonic())
        self._hold()

    def _take(self, scale: Scale) -> None:
        """What the workload says now."""
        leads, now = self._leadership.leads, self._monotonic()
        if not leads or not self._led:
            self._marks.forget()
            self.replicas.adopt(scale.replicas, *self._leadership.told(self._name), now)
        elif scale.replicas not in (self._spec, self._tried):
            self._metrics.count(SCALE_WRITES, self._name, "foreign")
            log.warning("replicas_changed_elsewhere", engine=self._name, had=self._spec, replicas=scale.replicas)
            self.replicas.adopt(scale.replicas, [*self.replicas.leaving], [*self.replicas.going], now)
        elif scale.replicas == self.replicas.target:
            self.replicas.counted([*self.replicas.going], now)
        self._led, self._spec, self._tried = leads, scale.replicas, None
        self._hold()

    async def _write(self, scale: Scale) -> tuple[Scale, str]:
        """Write what there should be. Returns what the workload says then, and what kept the number from falling."""
        problem = ""
        for _ in range(MOST_CONFLICTS):
            problem = await self._mark(scale.selector)
            # From here to the request nothing is waited for: the number and the marks are of one moment.
            target, going = self.replicas.target, [*self.replicas.going]
            if target is None or target == scale.replicas or self._over or not self._leadership.leads:
                break
            if target < scale.replicas and self._target.deletion_cost and not self._marks.all_go(going):
                break  # the number would fall for another
            had, self._tried = scale.replicas, target
            try:
                scale = await self._workload.write(target, scale.version)
            except ApiError as error:
                if 400 <= error.status < 500:
                    self._tried = None
                if error.reason != "Conflict":
                    self._metrics.count(SCALE_WRITES, self._name, "failed")
                    raise
                self._metrics.count(SCALE_WRITES, self._name, "conflict")
                scale = await self._workload.read()
                if not self._over:
                    self._take(scale)
                continue
            self._tried, self._spec = None, scale.replicas
            self.replicas.counted(going, self._monotonic())
            self._metrics.count(SCALE_WRITES, self._name, "written")
            log.info("replicas_written", engine=self._name, had=had, replicas=scale.replicas)
        return scale, problem

    async def _mark(self, selector: str) -> str:
        """Have those go first that leave. Returns what went wrong."""
        if not self._target.deletion_cost:
            return ""
        try:
            if not self._marks.known:
                self._marks.listed(await self._workload.pods(selector) if selector else ())
            await self._marks.mark(lambda: (self.replicas.leaving, self.replicas.going))
        except ApiError as error:
            return str(error)
        return ""

    async def _look_at_pods(self, selector: str) -> str:
        """See who is on the way, and why some fail. Returns what went wrong."""
        now = self._monotonic()
        if not selector or not self.replicas.standing(now).starting:
            self.replicas.arrived()
            return ""
        try:
            pods = await self._workload.pods(selector)
        except ApiError as error:
            return str(error)  # who was on the way then is taken to be so still
        if self._over:
            return ""
        self._marks.listed(pods)
        found = self._roll.found(self._name)
        gone = {*found.serving, *found.held, *self.replicas.leaving, *self.replicas.going}
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
