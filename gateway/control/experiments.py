"""The experiments of a gateway as its control plane knows them: which there are, with which shares, and what is seen.

shares      `set` tells every worker by one small message; a worker that joins, or is configured anew, is told all
observed    what workers tell of requests is counted, and handed on to whoever gates a release
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from gateway.experiments.seen import counted
from gateway.fleet.bundles import plans_of
from gateway.telemetry.metrics.families.experiments import EXPERIMENT_EVENTS, EXPERIMENT_REQUESTS, EXPERIMENT_WEIGHT
from gateway.workers.exchange.messages import ArmShares, Observed
from routing.gate.observation import ATTEMPT_FAILED, ERROR, LENGTH_STOP, REFUSED

if TYPE_CHECKING:
    from gateway.experiments.plan import Plan
    from gateway.settings import Settings
    from gateway.telemetry.metrics import Metrics
    from routing.gate.observation import Observation

EVENTS = (
    (ERROR, "errors"),
    (ATTEMPT_FAILED, "attempt_failures"),
    (REFUSED, "refusals"),
    (LENGTH_STOP, "length_stops"),
)


class ExperimentControl:
    """See the module."""

    def __init__(self, metrics: Metrics, tell_all: Callable[[ArmShares], None]) -> None:
        self._metrics = metrics
        self._tell_all = tell_all
        self._plans: dict[str, Plan] = {}
        self._shares: dict[str, Mapping[str, float]] = {}
        """Those that were set, by identity."""
        self.gates: list[Callable[[list[Observation]], None]] = []
        """Who else hears of what workers see."""
        metrics.watch(EXPERIMENT_WEIGHT, self._weights)

    @property
    def plans(self) -> Mapping[str, Plan]:
        """By identity."""
        return self._plans

    def use(self, settings: Settings) -> None:
        """These settings are in use now. What was set of an experiment that is no more there is forgotten."""
        self._plans = {plan.identity: plan for plan in plans_of(settings).values()}
        self._shares = {identity: shares for identity, shares in self._shares.items() if identity in self._plans}
        self._metrics.models = frozenset(settings.models)  # those of any other name would be counted as `other`
        for plan in self._plans.values():
            for arm in plan.arms:
                labels = plan.model, plan.name, arm
                self._metrics.count(EXPERIMENT_REQUESTS, *labels, by=0)
                for _, metric in EVENTS:
                    self._metrics.count(EXPERIMENT_EVENTS, *labels, metric, by=0)

    def shares(self) -> dict[str, dict[str, float]]:
        """All that were set, for a worker that joins."""
        return {identity: dict(shares) for identity, shares in self._shares.items()}

    def shares_of(self, plan: Plan) -> Mapping[str, float]:
        """Of the arms beside the control, at this moment."""
        return self._shares.get(plan.identity, plan.shares)

    def set(self, identity: str, shares: Mapping[str, float]) -> None:
        """From now on the arms of this experiment have these shares, in every worker; the control has the rest."""
        self._shares[identity] = dict(shares)
        self._tell_all(ArmShares(identity, dict(shares)))

    def observed(self, told: Observed) -> None:
        """A worker has seen this."""
        for experiment, arms in counted(told.seen.observations).items():
            plan = self._plans.get(experiment)
            if plan is None:
                continue
            for arm, by in arms.items():
                labels = plan.model, plan.name, plan.arms[arm]
                if by.requests:
                    self._metrics.count(EXPERIMENT_REQUESTS, *labels, by=by.requests)
                for flags in by.events:
                    for flag, metric in EVENTS:
                        if flags & flag:
                            self._metrics.count(EXPERIMENT_EVENTS, *labels, metric)
        for gate in self.gates:
            gate(told.seen.observations)

    def _weights(self) -> list[tuple[tuple[str, ...], float]]:
        found: list[tuple[tuple[str, ...], float]] = []
        for plan in self._plans.values():
            shares = self.shares_of(plan)
            left = 1.0 - sum(shares.values())
            found += [((plan.model, plan.name, arm), shares.get(arm, left)) for arm in plan.arms]
        return found
