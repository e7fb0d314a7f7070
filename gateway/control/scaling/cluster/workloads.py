"""Which engines of a configuration are workloads of an orchestrator's that the gateway scales, and under which names
the Lease tells of an engine."""

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


def sleep_place(engine: str) -> str:
    """Where the Lease says who sleeps: beside those that whoever starts and stops has leave."""
    return f"{engine}/sleep"


def places(settings: Settings) -> frozenset[str]:
    """All names under which whoever acts may tell something in the Lease."""
    sleeping = [
        sleep_place(name)
        for name, section in settings.engines.items()
        if section.autoscale is not None and section.autoscale.sleep is not None
    ]
    return frozenset([*workloads(settings), *sleeping])
