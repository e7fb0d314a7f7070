"""How a pod is that should serve and does not yet: on its way, or failing, and why, in Kubernetes' own words. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

NORMAL: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons to wait that every start has. All others are failures: ImagePullBackOff, CrashLoopBackOff, ..."""
MOST_MESSAGE: Final = 500
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
"""Of the pods of a ReplicaSet, that with the lowest goes first; without it, it counts as 0."""


class Waiting(msgspec.Struct):
    """Why a container does not run."""

    reason: str = ""
    message: str = ""


class Ended(msgspec.Struct):
    """How a container ended."""

    reason: str = ""
    message: str = ""
    code: int = msgspec.field(default=0, name="exitCode")


class State(msgspec.Struct):
    """One of these is there."""

    waiting: Waiting | None = None
    terminated: Ended | None = None


class Container(msgspec.Struct):
    """The status of one."""

    name: str = ""
    state: State = msgspec.field(default_factory=State)
    last: State = msgspec.field(default_factory=State, name="lastState")


class Condition(msgspec.Struct):
    """One of a pod's."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""


class PodStatus(msgspec.Struct):
    """As its kubelet and the scheduler tell it."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[Condition] = []
    init: list[Container] = msgspec.field(default_factory=list, name="initContainerStatuses")
    containers: list[Container] = msgspec.field(default_factory=list, name="containerStatuses")


class PodMeta(msgspec.Struct):
    """Its name, and when it was made and is to end."""

    name: str
    created: datetime | None = msgspec.field(default=None, name="creationTimestamp")
    ends: datetime | None = msgspec.field(default=None, name="deletionTimestamp")
    annotations: dict[str, str] | None = None


class Pod(msgspec.Struct):
    """A pod (v1), as far as it matters here."""

    metadata: PodMeta
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def cost(self) -> int | None:
        """What its deletion costs; None where nothing that can be read says so."""
        try:
            return int((self.metadata.annotations or {})[DELETION_COST])
        except (KeyError, ValueError):
            return None

    @property
    def ending(self) -> bool:
        """Whether it is to end, or has."""
        return self.metadata.ends is not None or self.status.phase in ("Succeeded", "Failed")


def trouble(pod: Pod, waited_s: float, start_s: float, unschedulable_s: float) -> str:
    """Why its start has failed, in one sentence; empty while it may still succeed.

    It has waited so long already; a pod may take `start_s` to serve, and `unschedulable_s` to find a node, which
    somebody may have to bring first.
    """
    status = pod.status
    for container in (*status.init, *status.containers):
        waiting = container.state.waiting
        if waiting is not None and waiting.reason not in NORMAL:
            return _told(pod, f"{container.name}: {waiting.reason}", waiting.message, _end(container))
        ended = container.state.terminated
        if ended is not None and ended.code:
            return _told(pod, f"{container.name}: {ended.reason or 'Error'}", "", _end(container))
    for condition in status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False" and waited_s >= unschedulable_s:
            return _told(pod, condition.reason or "Unschedulable", condition.message)
    if waited_s >= start_s:
        return _told(pod, f"it does not serve after {waited_s:.0f} s", "")
    return ""


def _told(pod: Pod, what: str, message: str, end: str = "") -> str:
    said = [part for part in (what, message[:MOST_MESSAGE].strip(), end) if part]
    return f"pod {pod.name}: {'; '.join(said)}"


def _end(container: Container) -> str:
    """How it ended the last time, where that is known."""
    ended = container.state.terminated or container.last.terminated
    if ended is None:
        return ""
    log = f": {ended.message[-MOST_MESSAGE:].strip()}" if ended.message else ""
    return f"it ended with {ended.code} ({ended.reason or 'Error'}){log}"
