"""The members of engines as workers are told of them: one fact per replica, the whole of it, by difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def mark(state: ReplicaState, told: Member | None) -> None:
    """Replicas of whom nothing was told are well."""
    healthy = told is None or told.healthy
    draining = told is not None and (told.draining or told.gone)
    if (healthy and not state.healthy) or (state.draining and not draining):
        state.returned_s = clock.monotonic()
    state.healthy, state.draining = healthy, draining
