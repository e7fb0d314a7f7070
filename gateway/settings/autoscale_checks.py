"""What goes with an engine's `autoscale`: somebody has to be able to make its replicas more or fewer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from engines.kinds.section import EngineSection
from engines.registry import kind_of
from engines.settings.discovery import discovers
from gateway.settings.errors import Path

Report = Callable[[Path, str, str], None]

GATEWAY, KEDA, HPA = "gateway", "keda", "hpa"


def check_writer(tree: Mapping[str, Any], report: Report) -> str:
    """Report what does not fit of `autoscale`; returns who writes the replicas of engines that are found."""
    section = tree.get("autoscale")
    if not isinstance(section, dict):
        return GATEWAY
    writer, keda = section.get("writer", GATEWAY), section.get("keda")
    if writer == KEDA and keda is None:
        report(("autoscale", "keda"), "is missing: it is where KEDA asks", '{listen: "0.0.0.0:8082"}')
    elif keda is not None and writer != KEDA:
        report(("autoscale", "keda"), "goes with writer: keda", "add it, or leave keda out")
    if keda is not None and find_spec("grpc") is None:
        report(("autoscale", "keda"), "needs the package grpcio", "pip install 'penstock[kubernetes]'")
    if section.get("lease") is not None and writer in (KEDA, HPA):
        report(("autoscale", "lease"), f"is for gateways that write replicas, and {writer} does", "leave it out")
    elif section.get("lease") is not None and tree.get("peers") is None:
        what = "needs peers: whoever holds it would stop replicas that other gateways stream from"
        report(("autoscale", "lease"), what, "peers: {dns: penstock-peers, port: 8081, key: ...}, or leave it out")
    return writer if writer in (KEDA, HPA) else GATEWAY


def check_autoscale(
    path: Path, engine: Mapping[str, Any], writer: str, report: Report, *, shared: bool = False
) -> None:
    """Report what does not fit in an engine's section as it is written; puts up with any shape. `shared`: there are
    other gateways, and nothing says which of them acts."""
    autoscale = engine.get("autoscale")
    if autoscale is None:
        return
    workload = autoscale.get("kubernetes") if isinstance(autoscale, dict) else None
    sleeps = isinstance(autoscale, dict) and autoscale.get("sleep") is not None
    section = kind_of(engine) or EngineSection
    launched = section.always_launched or engine.get("launch") is not None
    if sleeps and not launched and not section.can_sleep:
        report((*path, "autoscale", "sleep"), "is for vLLM, and nothing else sleeps", "leave it out")
    elif sleeps and not launched and shared:
        what = "needs autoscale.lease where there are peers: a replica that sleeps under another's request dies of it"
        report((*path, "autoscale", "sleep"), what, "autoscale: {lease: {name: penstock-autoscaler}}")
    if sleeps and isinstance(workload, dict) and workload.get("deletion_cost") is not True:
        sleep = autoscale["sleep"]
        if isinstance(sleep, dict) and "most" in sleep:
            what = "needs a Deployment with deletion_cost: another replica would be stopped in place of one that sleeps"
            report((*path, "autoscale", "sleep", "most"), what, "deletion_cost: true, or leave most out")
    if launched:
        if workload is not None:
            what = "is for servers that run in Kubernetes, not for those that the gateway launches"
            report((*path, "autoscale", "kubernetes"), what, "leave it out")
        counted, at = (
            (engine, ("replicas",)) if section.always_launched else (engine.get("launch"), ("launch", "replicas"))
        )
        if isinstance(counted, dict) and "replicas" in counted:
            report((*path, *at), "does not go with autoscale, which decides how many there are", "leave it out")
    elif not discovers(engine):
        if not sleeps:
            what = "is for servers that the gateway launches, finds and scales in Kubernetes, or has sleep"
            hint = "launch: {model: Qwen/Qwen3-0.6B}, discover: {kubernetes: ...}, or autoscale: {sleep: {level: 1}}"
            report((*path, "autoscale"), what, hint)
        elif workload is not None:
            report((*path, "autoscale", "kubernetes"), "needs pods that are found", "discover: {kubernetes: ...}")
    elif writer != GATEWAY:
        if sleeps:
            what = f"does not go with autoscale.writer: {writer}, which takes away what sleeps"
            report((*path, "autoscale", "sleep"), what, "leave it out")
        if workload is not None:
            what = f"does not go with autoscale.writer: {writer}: one of the two writes the replicas"
            report((*path, "autoscale", "kubernetes"), what, "leave it out")
        if writer == HPA and isinstance(autoscale, dict) and autoscale.get("min") == 0:
            report((*path, "autoscale", "min"), "is 0, and an HPA keeps at least 1", "1, or another autoscale.writer")
    elif workload is None and not sleeps:
        what = "is missing: the servers are found, so something has to say what is scaled"
        hint = "{kind: Deployment, name: llama}, or autoscale: {writer: keda}"
        report((*path, "autoscale", "kubernetes"), what, hint)
    elif workload is not None and not _found_in_kubernetes(engine):
        what = "needs pods that are known by name"
        report((*path, "autoscale", "kubernetes"), what, "discover: {kubernetes: {service: llama}}")


def _found_in_kubernetes(engine: Mapping[str, Any]) -> bool:
    discover = engine.get("discover")
    return isinstance(discover, dict) and discover.get("kubernetes") is not None
