"""The replicas behind one Service, from its EndpointSlices: pure, by difference.

    ready                        a replica
    not ready, was one           gets nothing new, and finishes what it has: its kubelet may call it ready again
    terminating                  the same, for good
    in no slice any more         gone
    not ready, never was         none yet

A slice is told whole when one of its endpoints changes, and an endpoint may be in two for a moment, while it is moved:
it terminates once one of them says so, and is ready while any says so. A pod is known by its name, and is another one
where its UID is: one that follows under the same name begins as none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress, count
from operator import ne
from typing import Final

import msgspec

from engines.port import Replica
from gateway.control.membership import MemberDifference
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


class _Said(msgspec.Struct, frozen=True):
    """What one slice says of one replica."""

    replica: Replica
    ready: bool
    terminating: bool


@dataclass(slots=True)
class _Read:
    """One slice, as it was read last."""

    port: int | None = None
    told: tuple[msgspec.Raw, ...] = ()
    """Copies: what is cut from a list keeps its whole page alive."""
    ones: list[_Said | None] = field(default_factory=list)
    """What each of them says; None: nothing."""
    said: dict[str, _Said] = field(default_factory=dict)


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

    def changed(self, name: str, now: Slice) -> MemberDifference:
        """A slice is like this now. Raises msgspec.DecodeError for one that cannot be read, of which nothing is taken.

        Mostly one endpoint of a hundred has changed, so what is done for all of them is done by comparing bytes alone.
        """
        before = self._slices.setdefault(name, _Read())
        port = None if now.address_type == "FQDN" else self._port_of(now)
        told = () if port is None else now.endpoints or ()
        if port is not None and port == before.port and len(told) == len(before.ones) == len(before.said):
            news = {at: _said_of(_endpoint_of(told[at]), port, self._scheme) for at in _differing(told, before.told)}
            if all(one is not None and one.replica.id == _id(before.ones[at]) for at, one in news.items()):
                return self._settle(self._replace(name, before, told, news))
        kept = tuple([one.copy() for one in told])
        return self._settle(self._take(name, before, _Read(port, kept, self._read(port, told, before))))

    def _replace(
        self, name: str, slice_: _Read, told: tuple[msgspec.Raw, ...], news: dict[int, _Said | None]
    ) -> list[str]:
        """These of a slice's endpoints say something else of the same replicas. Returns which have changed."""
        kept = list(slice_.told)
        touched = []
        for at, one in news.items():
            kept[at] = told[at].copy()
            if one is not None and one != slice_.ones[at]:
                slice_.ones[at] = slice_.said[one.replica.id] = self._said[one.replica.id][name] = one
                touched.append(one.replica.id)
        slice_.told = tuple(kept)
        return touched

    def _take(self, name: str, before: _Read, now: _Read) -> list[str]:
        """A slice is another. Returns which replicas have changed."""
        now.said = {one.replica.id: one for one in now.ones if one is not None}
        self._slices[name] = now
        touched = [id for id, one in now.said.items() if before.said.get(id) != one]
        for id in touched:
            self._said.setdefault(id, {})[name] = now.said[id]
        return [*touched, *self._drop(name, [id for id in before.said if id not in now.said])]

    def _read(self, port: int | None, told: tuple[msgspec.Raw, ...], before: _Read) -> list[_Said | None]:
        """What each endpoint says: one of the same bytes says the same."""
        if port is None:
            return []
        known = dict(zip(map(bytes, before.told), before.ones, strict=True)) if port == before.port else {}
        return [
            known[raw] if (raw := bytes(one)) in known else _said_of(_endpoint_of(one), port, self._scheme)
            for one in told
        ]

    def gone(self, name: str) -> MemberDifference:
        """A slice is no more."""
        return self._settle(self._drop(name, list(self._slices.pop(name, _Read()).said)))

    def __len__(self) -> int:
        return len(self._known)

    def _drop(self, name: str, ids: list[str]) -> list[str]:
        for id in ids:
            self._said[id].pop(name, None)
            if not self._said[id]:
                del self._said[id]
        return ids

    def _settle(self, ids: Iterable[str]) -> MemberDifference:
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
            best = said[0]
            if len(said) > 1:
                best = max(said, key=lambda one: (one.ready and not one.terminating, one.replica.life))
            terminating = any(one.terminating for one in said if not best.replica.succeeds(one.replica))
            serves = best.ready and not terminating
            if not serves:
                if known is not None and best.replica.succeeds(known):
                    del self._known[id]
                    self._draining.discard(id)
                    removed.append(id)
                    continue
                if known is None:
                    continue
            if serves and known != best.replica:
                self._known[id] = best.replica
                added.append(best.replica)
            if serves == (id in self._draining):
                (self._draining.discard if serves else self._draining.add)(id)
                (resumed if serves else draining).append(id)
        return MemberDifference(tuple(added), tuple(removed), tuple(draining), tuple(resumed))

    def _port_of(self, now: Slice) -> int | None:
        if isinstance(self._port, int):
            return self._port
        for one in now.ports or ():
            if self._port is None or one.name == self._port:
                return one.port
        return None


def _differing(now: tuple[msgspec.Raw, ...], before: tuple[msgspec.Raw, ...]) -> Iterable[int]:
    """Where two of the same length differ."""
    return compress(count(), map(ne, now, before))


def _id(one: _Said | None) -> str | None:
    return None if one is None else one.replica.id


def _said_of(endpoint: Endpoint, port: int, scheme: str) -> _Said | None:
    if not endpoint.addresses:
        return None
    address = endpoint.addresses[0]
    host = f"[{address}]" if ":" in address else address
    pod = endpoint.target
    id = pod.name[:MOST_NAME] if pod is not None and pod.name else f"{host}:{port}"
    conditions = endpoint.conditions
    return _Said(
        Replica(id, f"{scheme}://{host}:{port}", endpoint.zone or "", life=pod.uid if pod is not None else ""),
        conditions.ready is not False,
        conditions.terminating is True,
    )
