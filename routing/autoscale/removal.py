"""Which replicas go when there are to be fewer: what serves nobody before what serves somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Removable:
    """One replica that might go."""

    id: str
    ready: bool
    in_flight: int = 0
    since_s: float = 0.0
    """When it was asked for."""


def removed(replicas: Sequence[Removable], count: int) -> list[str]:
    """The ids of those to take away, the first to go first: those that are still starting, the youngest of them first,
    then those with the least to finish, the youngest of equals first, whose cache holds least."""
    order = sorted(replicas, key=lambda one: (one.ready, one.in_flight, -one.since_s, one.id))
    return [one.id for one in order[: max(0, count)]]
