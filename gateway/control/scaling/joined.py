"""Scaling joined with the rest of the control plane: each engine by the one that can make its replicas more or fewer,
the loop over all of them, and what is kept of its decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.turns import own_turn
from gateway.control.scaling.advised import AdvisedScaling
from gateway.control.scaling.autoscale import EVERY_S as AUTOSCALE_EVERY_S
from gateway.control.scaling.autoscale import Autoscaling
from gateway.control.scaling.cluster.leading import Leading
from gateway.control.scaling.cluster.scaling import ClusterScaling
from gateway.control.scaling.decisions import EVERY_S as SCALINGS_EVERY_S
from gateway.control.scaling.decisions import ScalingLog
from gateway.control.scaling.demand import ask_everybody
from gateway.control.scaling.engines import Actuators, Servers
from gateway.control.scaling.fixed import FixedScaling
from gateway.control.scaling.launched import LaunchScaling
from gateway.control.scaling.sleeping import EVERY_S as SLEEP_EVERY_S
from gateway.control.scaling.sleeping import SleepScaling
from gateway.fleet.steps import in_slices
from gateway.telemetry.metrics.families.replicas import REPLICAS_WANTED
from gateway.telemetry.metrics.families.scaling import REPLICA_SLEEPS
from gateway.workers.exchange.demand import EngineStarts

if TYPE_CHECKING:
    from gateway.control.asking.loads import EngineLoads
    from gateway.control.engines import Engines
    from gateway.control.launches import Launches
    from gateway.control.links import Links
    from gateway.control.roster import Roster
    from gateway.control.scaling.decisions import Keep
    from gateway.peers.joined import Peering
    from gateway.process.supervisor import Supervisor
    from gateway.settings import Settings
    from gateway.telemetry.metrics import Metrics


class Scaling:
    """How many replicas each engine has. `autoscaling` decides; `advised` is what an orchestrator asks."""

    def __init__(
        self,
        supervisor: Supervisor,
        links: Links,
        metrics: Metrics,
        roster: Roster,
        engines: Engines,
        launches: Launches,
        loads: EngineLoads,
        peering: Peering,
        keep: Keep | None,
    ) -> None:
        """`peering` has what other gateways have to do; `keep` stores what is decided, None: nobody does."""
        spawn = supervisor.spawn
        self._supervisor = supervisor
        self._keeps = keep is not None
        self.advised = AdvisedScaling(roster)
        self._leading = Leading(spawn, metrics)
        self._cluster = ClusterScaling(spawn, roster, self._leading, metrics)
        self._fixed = FixedScaling(roster.found, lambda: self._leading.leads)
        self._sleeping = SleepScaling(
            Actuators(LaunchScaling(launches, roster.retire), self._cluster, self.advised, self._fixed),
            spawn,
            roster,
            self._leading,
            Servers(engines, launches, self._fixed, loads),
            lambda engine, result: metrics.count(REPLICA_SLEEPS, engine, result),
        )
        self._log = ScalingLog(keep)
        self.autoscaling = Autoscaling(
            self._sleeping,
            lambda asked: ask_everybody(links, asked, peering.demands),
            loads.kv_usage,
            lambda starts: links.tell_all(EngineStarts(starts)),
            busy=peering.busy,
            decided=self._log,
        )
        metrics.watch(REPLICAS_WANTED, self.autoscaling.wanted)

    def greet(self, settings: Settings) -> None:
        """These settings are in use soon; the replicas that they name are not known yet, so new ones are greeted."""
        self._sleeping.use(settings)

    async def use(self, settings: Settings) -> None:
        """These settings are in use from now on, by engines and launches too."""
        for use in (self._leading.use, self._cluster.use, self.advised.use, self._fixed.use):
            await own_turn()  # each: streams may share the loop
            use(settings)
        await in_slices(self.autoscaling.using(settings))

    def start(self) -> None:
        """Begin its loops."""
        self._supervisor.loop("sleep", self._sleeping.look, SLEEP_EVERY_S)
        self._supervisor.loop("autoscale", self.autoscaling.look, AUTOSCALE_EVERY_S, at_once=False)
        if self._keeps:
            self._supervisor.loop("scalings", self._log.send, SCALINGS_EVERY_S, at_once=False)

    def ages_s(self) -> dict[str, float]:
        """Seconds since each of what runs beside the loops last succeeded."""
        return {**self._leading.ages_s(), **self._cluster.ages_s()}

    async def leave(self) -> None:
        """Act no more, and let another gateway do so at once."""
        await self._leading.leave()

    async def close(self) -> None:
        """Have stored what is not, if the store still answers."""
        await self._log.send()
