"""The replicas behind one Service, from its EndpointSlices: pure, by difference.

    ready                        a replica
    not ready, was one           gets nothing new, and finishes what it has: its kubelet may call it ready again
    terminating                  the same, for good
    in no slice any more         gone
    not ready, never was         none yet

A slice is told whole when one of its endpoints changes, and an endpoint may be in two for a moment, while it is moved:
it terminates once one of them says so, and is ready while any says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from engines.port import Replica
from gateway.control.membership import Difference
from gateway.kubernetes.watch import Meta

MOST_NAME: Final = 128
"""Letters of a replica's id; a pod's name has at most 253."""


class Conditions(msgspec.Struct, frozen=True):
    """Of one endpoint; what is left out is unknown, which for `ready` means yes (discovery/v1)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Target(msgspec.Struct, frozen=True):
    """The pod behind an endpoint."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Endpoint(msgspec.Struct, frozen=True):
    """One of a slice's."""

    addresses: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    target: Target | None = msgspec.field(default=None, name="targetRef")
    zone: str | None = None


class Port(msgspec.Struct, frozen=True):
    """One port of all endpoints of a slice."""

    name: str | None = None
    port: int | None = None


class Slice(msgspec.Struct, frozen=True):
    """An EndpointSlice (discovery/v1), as far as it matters here."""

    metadata: Meta = msgspec.field(default_factory=Meta)
    address_type: str = msgspec.field(default="", name="addressType")
    endpoints: tuple[msgspec.Raw, ...] | None = None
    """Read one by one (`Endpoint`): of a hundred, an event changes one, and those of the same bytes are the same."""
    ports: tuple[Port, ...] | None = None


_endpoint_of = msgspec.json.Decoder(Endpoint).decode


@dataclass(frozen=True, slots=True)
class _Said:
    """What one slice says of one replica."""

    replica: Replica
    uid: str
    ready: bool
    terminating: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """One slice, as it was read last."""

    port: int | None
    told: tuple[msgspec.Raw, ...]
    ones: tuple[_Said | None, ...]
    """What each of them says; None: nothing."""
    said: dict[str, _Said]


_NOTHING: Final = _Read(None, (), (), {})


class ServiceReplicas:
    """See the module. Each call returns what is new."""

    __slots__ = ("_draining", "_known", "_port", "_said", "_scheme", "_slices")

    def __init__(self, port: int | str | None, scheme: str = "http") -> None:
        """`port` is a number, or a name that the Service's ports have; None is the first."""
        self._port: Final = port
        self._scheme: Final = scheme
        self._slices: dict[str, _Read] = {}
        self._said: dict[str, dict[str, _Said]] = {}
        """By replica, what each slice says of it."""
        self._known: dict[str, Replica] = {}
        self._draining: set[str] = set()

    def changed(self, name: str, now: Slice) -> Difference:
        """A slice is like this now. Raises msgspec.DecodeError for one that cannot be read."""
        before = self._slices.get(name) or _NOTHING
        read = self._read(now, before)
        old, said = before.said, read.said
        self._slices[name] = read
        touched = [id for id, one in said.items() if (was := old.get(id)) is not one and was != one]
        for id in touched:
            self._said.setdefault(id, {})[name] = said[id]
        return self._settle([*touched, *self._drop(name, [id for id in old if id not in said])])

    def gone(self, name: str) -> Difference:
        """A slice is no more."""
        return self._settle(self._drop(name, list(self._slices.pop(name, _NOTHING).said)))

    def __len__(self) -> int:
        return len(self._known)

    def _drop(self, name: str, ids: list[str]) -> list[str]:
        for id in ids:
            self._said[id].pop(name, None)
            if not self._said[id]:
                del self._said[id]
        return ids

    def _settle(self, ids: Iterable[str]) -> Difference:
        added: list[Replica] = []
        removed: list[str] = []
        draining: list[str] = []
        resumed: list[str] = []
        for id in dict.fromkeys(ids):
            said = list(self._said.get(id, {}).values())
            known = self._known.get(id)
            if not said:
                if known is not None:
                    del self._known[id]
                    self._draining.discard(id)
                    removed.append(id)
                continue
            terminating = any(one.terminating for one in said)
            best = max(said, key=lambda one: (one.ready and not one.terminating, one.uid))
            serves = best.ready and not terminating
            if known is None and not serves:
                continue
            if serves and known != best.replica:
                self._known[id] = best.replica
                added.append(best.replica)
            if serves == (id in self._draining):
                (self._draining.discard if serves else self._draining.add)(id)
                (resumed if serves else draining).append(id)
        return Difference(tuple(added), tuple(removed), tuple(draining), tuple(resumed))

    def _read(self, now: Slice, before: _Read) -> _Read:
        port = self._port_of(now)
        if port is None or now.address_type == "FQDN":
            return _NOTHING
        told = now.endpoints or ()
        ones = [*before.ones]
        if port == before.port and len(told) == len(before.told):
            new = [at for at, (raw, was) in enumerate(zip(told, before.told, strict=True)) if raw != was]
        else:
            new, ones = list(range(len(told))), [None] * len(told)
        for at in new:
            ones[at] = self._said_of(_endpoint_of(told[at]), port)
        return _Read(port, told, tuple(ones), {one.replica.id: one for one in ones if one is not None})

    def _said_of(self, endpoint: Endpoint, port: int) -> _Said | None:
        if not endpoint.addresses:
            return None
        address = endpoint.addresses[0]
        host = f"[{address}]" if ":" in address else address
        pod = endpoint.target
        id = pod.name[:MOST_NAME] if pod is not None and pod.name else f"{host}:{port}"
        conditions = endpoint.conditions
        return _Said(
            Replica(id, f"{self._scheme}://{host}:{port}", endpoint.zone or ""),
            pod.uid if pod is not None else "",
            conditions.ready is not False,
            conditions.terminating is True,
        )

    def _port_of(self, now: Slice) -> int | None:
        if isinstance(self._port, int):
            return self._port
        for one in now.ports or ():
            if self._port is None or one.name == self._port:
                return one.port
        return None
