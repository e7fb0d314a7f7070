"""Releases joined with the rest of the control plane: settings, what workers see, the store, and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.control.releases.kept import NAME, KeptRamps
from gateway.control.releases.plans import specs_of
from gateway.control.releases.release import Release
from gateway.control.releases.rollout import Releases
from gateway.control.releases.views import held
from gateway.control.releases.webhooks import Webhooks
from gateway.telemetry.metrics.families.experiments import EXPERIMENT_UNITS
from gateway.telemetry.metrics.families.releases import (
    EXPERIMENT_EVIDENCE,
    RELEASE_HELD,
    RELEASE_MOST_HELD,
    RELEASE_OBSERVATIONS_DROPPED,
)

if TYPE_CHECKING:
    from engines.port import Spawn
    from gateway.control.experiments import ExperimentControl
    from gateway.settings import Settings
    from gateway.store.writing.process import StoreProcess
    from gateway.telemetry.metrics import Metrics


class JoinedReleases(Releases):
    """See the module."""

    def __init__(
        self, experiments: ExperimentControl, metrics: Metrics, spawn: Spawn, store: StoreProcess | None
    ) -> None:
        """`store` None: there is none."""
        sync = kept = None
        if store is not None:
            sync, kept = store.sync_releases, KeptRamps(Path(store.data_dir) / NAME, spawn, store.lock.take)
        super().__init__(sync, experiments.set, Webhooks(spawn), spawn, kept=kept)
        self._experiments = experiments
        experiments.gates.append(self.observed)
        metrics.watch(EXPERIMENT_EVIDENCE, self._evidence)
        metrics.watch(RELEASE_HELD, lambda: [(_labels(one), held_s) for one, held_s in held(self)])
        metrics.watch(RELEASE_MOST_HELD, lambda: [(_labels(one), one.spec.ramp.max_hold_s) for one, _ in held(self)])
        metrics.watch_counts(EXPERIMENT_UNITS, self._units)
        metrics.watch_count(RELEASE_OBSERVATIONS_DROPPED, (), lambda: self.dropped + self._telling.unread)

    def take(self, settings: Settings) -> None:
        """These settings are in use now, in the experiments too."""
        self.use(specs_of(self._experiments.plans.values(), settings), gateways=settings.server.gateways)

    def _units(self) -> list[tuple[tuple[str, ...], float]]:
        found: dict[tuple[str, ...], float] = {}
        for release in self:
            plan, units = self._experiments.plans.get(release.spec.experiment), release.gate.units
            if plan is not None:
                control = plan.model, plan.name, plan.arms[0]
                found[control] = max(found.get(control, 0.0), units.units - units.canary)
                found[plan.model, plan.name, release.spec.arm] = units.canary
        return list(found.items())

    def _evidence(self) -> list[tuple[tuple[str, ...], float]]:
        """Of several arms, that which is furthest."""
        found: dict[tuple[str, ...], float] = {}
        for release in self:
            for one in release.gate.readings():
                labels = release.spec.model, release.spec.name, one.metric, one.test
                found[labels] = max(found.get(labels, 0.0), one.part)
        return list(found.items())


def _labels(release: Release) -> tuple[str, str, str]:
    return release.spec.model, release.spec.name, release.spec.arm
