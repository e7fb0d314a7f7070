"""The replicas behind an InferencePool (inference.networking.k8s.io/v1): its pods, at its target ports. Pure.

    ready                        a replica at each target port
    not ready, was one           gets nothing new, and finishes what it has: its kubelet may call it ready again
    deleted, within its grace    the same, for good
    ended, or of another label   gone
    not ready, never was         none yet

The same goes for pods that labels of the configuration select, at its one port. A replica is known by its pod's name;
at a second target port and those after it, by the name and the port. A pod of another UID is another
pod: one that follows under the same name begins as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from engines.port import Replica
from gateway.control.membership import MemberDifference
from gateway.kubernetes.slices import MOST_NAME
from gateway.kubernetes.watch import Meta

ZONE: Final = "topology.kubernetes.io/zone"
"""A label of nodes, which clusters from 1.35 on copy to their pods."""


def selector_of(labels: Mapping[str, str]) -> str:
    """The labels that a pod must all have, as a query says it."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


class Selector(msgspec.Struct, frozen=True):
    """Which pods."""

    labels: dict[str, str] = msgspec.field(default_factory=dict, name="matchLabels")


class TargetPort(msgspec.Struct, frozen=True):
    """One of at most eight: servers of several ranks listen at one each."""

    number: int


class PoolSpec(msgspec.Struct, frozen=True):
    """What a pool says."""

    selector: Selector = msgspec.field(default_factory=Selector)
    ports: tuple[TargetPort, ...] = msgspec.field(default=(), name="targetPorts")
    protocol: str = msgspec.field(default="http", name="appProtocol")


class InferencePool(msgspec.Struct, frozen=True):
    """One of them, as far as it matters here."""

    metadata: Meta = msgspec.field(default_factory=Meta)
    spec: PoolSpec | None = None
    """None in a bookmark."""


class PodMeta(Meta):
    """Of a pod."""

    ends: str | None = msgspec.field(default=None, name="deletionTimestamp")
    labels: dict[str, str] | None = None


class PodCondition(msgspec.Struct):
    """One of a pod's."""

    type: str = ""
    status: str = ""


class ServingStatus(msgspec.Struct):
    """How a pod is."""

    phase: str = ""
    address: str = msgspec.field(default="", name="podIP")
    conditions: list[PodCondition] | None = None


class ServingPod(msgspec.Struct):
    """A pod (v1), as far as it matters to whoever asks it."""

    metadata: PodMeta = msgspec.field(default_factory=PodMeta)
    status: ServingStatus = msgspec.field(default_factory=ServingStatus)

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        conditions = self.status.conditions or ()
        return self.metadata.ends is None and any(one.type == "Ready" and one.status == "True" for one in conditions)


class PoolReplicas:
    """See the module. Each call returns what is new."""

    __slots__ = ("_draining", "_known", "_pods", "_ports", "_scheme")

    def __init__(self, scheme: str = "http") -> None:
        self._scheme: Final = scheme
        self._ports: tuple[int, ...] = ()
        self._pods: dict[str, ServingPod] = {}
        self._known: dict[str, dict[str, Replica]] = {}
        """By pod, its replicas by their ids."""
        self._draining: set[str] = set()
        """The pods that drain."""

    def listening(self, ports: Iterable[int]) -> MemberDifference:
        """The pods are asked at these ports; none: there is no pool."""
        self._ports = tuple(ports)
        return self._settle(self._pods)

    def changed(self, name: str, now: ServingPod) -> MemberDifference:
        """A pod is like this now."""
        if now.ended:
            return self.gone(name)
        self._pods[name] = now
        return self._settle((name,))

    def gone(self, name: str) -> MemberDifference:
        """A pod is no more, or is not of the pool."""
        self._pods.pop(name, None)
        return self._settle((name,))

    def forget(self) -> None:
        """Nobody listens, and while nobody looks pods come and go: whoever is there then is to be told anew."""
        self._pods.clear()
        self._draining.clear()

    def __len__(self) -> int:
        return sum(map(len, self._known.values()))

    def _settle(self, names: Iterable[str]) -> MemberDifference:
        added: list[Replica] = []
        removed: list[str] = []
        draining: list[str] = []
        resumed: list[str] = []
        for name in names:
            pod, known = self._pods.get(name), self._known.get(name, {})
            before = next(iter(known.values()), None)
            if before is not None and pod is not None and not pod.ready and _is_another(pod, before):
                removed += known
                known = {}
                self._draining.discard(name)
            there = self._there(name, pod) if pod is not None and (known or pod.ready) else {}
            removed += [id for id in known if id not in there]
            new = [one for id, one in there.items() if known.get(id) != one]
            added += new
            if there:
                self._known[name] = there
            else:
                self._known.pop(name, None)
            drained, drains = name in self._draining, bool(there) and pod is not None and not pod.ready
            (self._draining.add if drains else self._draining.discard)(name)
            if drains:
                draining += [id for id in there if not drained or id not in known]
            elif drained:
                resumed += [id for id in there if id in known]
        return MemberDifference(tuple(added), tuple(removed), tuple(draining), tuple(resumed))

    def _there(self, name: str, pod: ServingPod) -> dict[str, Replica]:
        address, zone = pod.status.address, (pod.metadata.labels or {}).get(ZONE, "")
        if not address:
            return self._known.get(name, {})
        host = f"[{address}]" if ":" in address else address
        found: dict[str, Replica] = {}
        for at, port in enumerate(self._ports):
            id = name[:MOST_NAME] if at == 0 else f"{name[: MOST_NAME - 6]}:{port}"
            found[id] = Replica(id, f"{self._scheme}://{host}:{port}", zone, life=pod.metadata.uid)
        return found


def _is_another(pod: ServingPod, replica: Replica) -> bool:
    """Whether the replica is of a pod that had its name before."""
    return pod.metadata.uid != replica.life and bool(pod.metadata.uid and replica.life)
