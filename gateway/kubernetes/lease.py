"""Who of several acts, by a Lease (coordination.k8s.io/v1), as client-go's leaderelection does it. Pure.

    nobody holds it, or whoever does has not renewed it for as long as it lasts     claim it
    it is ours                                                                      renew it
    it is somebody's                                                                look again in `retry_s`

Clocks of different machines are never compared: how long ago somebody renewed it is counted from when we saw it
change, by our own clock. Whoever holds it acts only until `renew_s` after the last renewal was sent, which is over
before anybody else may claim it. Each write names the version that was read: of two that claim it, one gets a conflict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway.kubernetes.api import ApiError


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """client-go's usual ones."""

    duration_s: int = 15
    """Without a renewal for so long, it is anybody's."""
    renew_s: float = 10.0
    """Whoever could not renew it for so long acts no more; less than `duration_s`."""
    retry_s: float = 2.0


USUAL: Final = LeaseTimes()


class Candidate:
    """One that would hold the Lease. `now` is monotonic, in seconds; `wall` is Unix seconds, for people to read."""

    def __init__(self, identity: str, name: str, namespace: str, times: LeaseTimes = USUAL) -> None:
        self.identity = identity
        self._name = name
        self._namespace = namespace
        self._times = times
        self._lease: dict[str, Any] | None = None
        self._seen_s = float("-inf")
        """When it was last seen to have changed."""
        self._renewed_s = float("-inf")
        """When our last renewal that went through was sent."""

    @property
    def holder(self) -> str:
        """Who holds it, as far as we have seen; empty: nobody."""
        return str(self._spec.get("holderIdentity") or "")

    @property
    def annotations(self) -> Mapping[str, str]:
        """Of the Lease as it was seen last."""
        found: Mapping[str, str] = (self._lease or {}).get("metadata", {}).get("annotations") or {}
        return found

    def leads(self, now: float) -> bool:
        """Whether we act at this moment."""
        return self.holder == self.identity and now < self._renewed_s + self._times.renew_s

    def saw(self, lease: dict[str, Any] | None, now: float) -> None:
        """It is like this; None: there is none."""
        if lease is None or self._lease is None or lease.get("spec") != self._lease.get("spec"):
            self._seen_s = now
        self._lease = lease

    def claim(self, now: float, wall: float, annotations: Mapping[str, str]) -> dict[str, Any] | None:
        """The Lease to write, which makes it ours or renews it; None while it is somebody else's."""
        held, ours = bool(self.holder), self.holder == self.identity
        lasts_s = float(self._spec.get("leaseDurationSeconds") or self._times.duration_s)
        if held and not ours and now < self._seen_s + lasts_s:
            return None
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._times.duration_s,
            "acquireTime": self._spec.get("acquireTime") if ours else _time(wall),
            "renewTime": _time(wall),
            "leaseTransitions": int(self._spec.get("leaseTransitions") or 0) + (not ours and self._lease is not None),
        }
        return self._document(spec, annotations)

    def wrote(self, lease: dict[str, Any], sent_s: float, now: float) -> None:
        """What we wrote is taken, and is this now."""
        self.saw(lease, now)
        self._renewed_s = sent_s

    def released(self, wall: float, annotations: Mapping[str, str]) -> dict[str, Any] | None:
        """The Lease to write so that another may claim it at once; None where it is not ours."""
        if self._lease is None or self.holder != self.identity:
            return None
        spec = {**self._spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _time(wall)}
        return self._document(spec, annotations)

    @property
    def _spec(self) -> dict[str, Any]:
        found: dict[str, Any] = (self._lease or {}).get("spec") or {}
        return found

    def _document(self, spec: dict[str, Any], annotations: Mapping[str, str]) -> dict[str, Any]:
        metadata = {**(self._lease or {}).get("metadata", {}), "name": self._name, "namespace": self._namespace}
        metadata["annotations"] = {**self.annotations, **annotations}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def lease_of(raw: bytes) -> dict[str, Any]:
    """A Lease as the API server tells it. Raises ApiError."""
    try:
        it = msgspec.json.decode(raw, type=dict[str, Any])
        _shape(it)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        raise ApiError("the API server's Lease cannot be read") from None
    return it


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _LeaseSpec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct):
    metadata: _Metadata
    spec: _LeaseSpec | None = None


def _shape(it: dict[str, Any]) -> None:
    msgspec.convert(it, _Lease)


def _time(wall: float) -> str:
    """As Kubernetes' MicroTime wants it: exactly six decimals."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
