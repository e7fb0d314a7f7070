"""What goes with an engine's `autoscale`: somebody has to be able to make its replicas more or fewer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engines.settings.discovery import discovers
from gateway.settings.errors import Path


def check_autoscale(path: Path, engine: Mapping[str, Any], report: Callable[[Path, str, str], None]) -> None:
    """Report what does not fit in an engine's section as it is written; puts up with any shape."""
    autoscale = engine.get("autoscale")
    if autoscale is None:
        return
    workload = autoscale.get("kubernetes") if isinstance(autoscale, dict) else None
    simulator = engine.get("kind") == "simulator"
    if engine.get("launch") is not None or simulator:
        if workload is not None:
            what = "is for servers that run in Kubernetes, not for those that the gateway launches"
            report((*path, "autoscale", "kubernetes"), what, "leave it out")
        counted, at = (engine, ("replicas",)) if simulator else (engine.get("launch"), ("launch", "replicas"))
        if isinstance(counted, dict) and "replicas" in counted:
            report((*path, *at), "does not go with autoscale, which decides how many there are", "leave it out")
    elif not discovers(engine):
        what = "is for servers that the gateway launches, or finds and scales in Kubernetes"
        report((*path, "autoscale"), what, "launch: {model: Qwen/Qwen3-0.6B}, or discover: {kubernetes: ...}")
    elif workload is None:
        what = "is missing: the servers are found, so something has to say what is scaled"
        report((*path, "autoscale", "kubernetes"), what, "{kind: Deployment, name: llama}")
    elif not _found_in_kubernetes(engine):
        what = "needs pods that are known by name"
        report((*path, "autoscale", "kubernetes"), what, "discover: {kubernetes: {service: llama}}")


def _found_in_kubernetes(engine: Mapping[str, Any]) -> bool:
    discover = engine.get("discover")
    return isinstance(discover, dict) and discover.get("kubernetes") is not None
