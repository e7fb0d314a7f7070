"""The members of engines as workers are told of them: one fact per replica, the whole of it, by difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from gateway import clock

if TYPE_CHECKING:
    from routing.replicas.replica import ReplicaState


class Member(msgspec.Struct, array_like=True, frozen=True):
    """Everything there is to know of one replica; it replaces whatever was told of it before."""

    engine: str
    replica: str
    url: str = ""
    """Empty for one that the configuration writes down, which says where it is."""
    healthy: bool = True
    draining: bool = False
    """It gets no new request and finishes what it has."""
    gone: bool = False
    """It has left; nothing else is said of it then."""
    zone: str = ""
    """Where it runs, if whoever found it knows."""
    life: str = ""
    """Another server under the same id has another one; empty where nobody said."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Member]).decode


def packed(members: list[Member]) -> bytes:
    """A part of all that is told at once: of 19,200, to read all takes 6 ms, and to write them 2 ms for each worker."""
    return _encode(members)


def unpacked(parts: Iterable[bytes]) -> Iterator[Member]:
    """Those of all parts, in their order: each part is read when its first is asked for. Raises msgspec.DecodeError."""
    for part in parts:
        yield from _decode(part)


def note(told: dict[str, dict[str, Member]], member: Member) -> None:
    """Take one in among those that were told, by engine and replica; one that has gone is none of them."""
    of_engine = told.setdefault(member.engine, {})
    if member.gone:
        of_engine.pop(member.replica, None)
    else:
        of_engine[member.replica] = member


def mark(state: ReplicaState, told: Member | None) -> None:
    """Replicas of whom nothing was told are well."""
    healthy = told is None or told.healthy
    draining = told is not None and (told.draining or told.gone)
    if (healthy and not state.healthy) or (state.draining and not draining):
        state.returned_s = clock.monotonic()
    state.healthy, state.draining = healthy, draining
