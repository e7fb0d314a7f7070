"""Which engines of a configuration are workloads of an orchestrator's that the gateway scales."""

from __future__ import annotations

from engines.kinds.autoscaling import WorkloadSection
from engines.settings.discovery import KubernetesPlace
from gateway.settings import Settings


def workloads(settings: Settings) -> dict[str, tuple[WorkloadSection, KubernetesPlace]]:
    """What is scaled of each, and where, by the engine's name."""
    wanted: dict[str, tuple[WorkloadSection, KubernetesPlace]] = {}
    for name, section in settings.engines.items():
        target = section.autoscale.kubernetes if section.autoscale is not None else None
        found = section.found_at
        if target is not None and found is not None and found.kubernetes is not None:
            wanted[name] = target, found.kubernetes
    return wanted
