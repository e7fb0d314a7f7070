"""The experiments of one worker: an `Enrolment` for each model that has one, with the shares of the moment.

Shares come by a small message and are used at once, by requests that begin from then on; a new configuration takes
them over for as long as the identity of the experiment is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import structlog

from gateway.experiments.enrolment import Enrolment
from gateway.telemetry.metrics.families.experiments import EXPOSURE_LOST
from routing.experiments.experiment import Experiment

if TYPE_CHECKING:
    from gateway.experiments.plan import Plan
    from gateway.telemetry.metrics import Metrics

log = structlog.get_logger()


class Experiments:
    """See the module."""

    def __init__(self, metrics: Metrics) -> None:
        self._told: dict[str, Mapping[str, float]] = {}
        """Shares by identity, as the control plane told them last."""
        self._enrolments: dict[str, Enrolment] = {}
        self._labels: dict[tuple[str, str], Enrolment] = {}
        """The last enrolment of each model and name: what was counted stays counted."""
        metrics.watch_counts(EXPOSURE_LOST, lambda: [(labels, one.lost) for labels, one in self._labels.items()])

    def of(self, model: str) -> Enrolment | None:
        return self._enrolments.get(model)

    def tell(self, shares: Iterable[tuple[str, Mapping[str, float]]]) -> None:
        """All shares that are known, by identity; what a configuration says takes the place of one that is missing."""
        self._told = dict(shares)

    def use(self, plans: Mapping[str, Plan]) -> None:
        """These are the experiments from now on, by model."""
        self._enrolments = {model: self._enrol(plan) for model, plan in plans.items()}

    def set_shares(self, identity: str, shares: Mapping[str, float]) -> None:
        """From now on the arms of this experiment have these shares; the control has the rest."""
        self._told[identity] = shares
        for enrolment in self._enrolments.values():
            if enrolment.experiment.identity == identity:
                _set(enrolment.experiment, shares)

    def _enrol(self, plan: Plan) -> Enrolment:
        section, labels = plan.section, (plan.model, plan.name)
        known = self._enrolments.get(plan.model)
        start, end = section.buckets
        experiment = Experiment(plan.identity, section.salt, plan.layer, plan.arms, plan.most, plan.shares, start, end)
        told = self._told.get(plan.identity)
        if told is not None:
            _set(experiment, told)
        elif known is not None and known.experiment.identity == plan.identity and section.steps:
            _set(experiment, dict(zip(plan.arms, known.experiment.shares, strict=True)))
        targeting = section.targeting
        headers = {name.lower().encode(): value.encode() for name, value in targeting.headers.items()}
        enrolment = Enrolment(
            experiment, section.unit, frozenset(targeting.keys), frozenset(targeting.tenants), headers
        )
        before = self._labels.get(labels)
        enrolment.lost = before.lost if before is not None else 0
        self._labels[labels] = enrolment
        return enrolment


def _set(experiment: Experiment, shares: Mapping[str, float]) -> None:
    try:
        experiment.set_shares(shares)
    except ValueError as error:  # of a configuration that another gateway has already, and this one has not
        log.error("shares_refused", experiment=experiment.identity, why=str(error))
