"""Who runs where: gateway and client have a core each where there are four or more, and share all below that."""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of each party."""

    replicas: Set[int]
    client: tuple[int, ...]
    """One for the client's process; none: it is not pinned."""
    gateway: Set[int]


def shared_out(available: Set[int] | None = None) -> Cores:
    """The cores of this machine, or these."""
    ordered = sorted(os.sched_getaffinity(0) if available is None else available)
    if len(ordered) < 4:
        return Cores(set(ordered), (), set(ordered))
    return Cores(set(ordered[:-2]), (ordered[-2],), {ordered[-1]})
