"""Active health: a free probe of each replica that has one, and the verdict over several of them.

A replica is down after `unhealthy_after` failed probes in a row and up after `healthy_after` good ones; it starts up,
because the breaker notices sooner than we would. Providers have no free probe and are always up here.
"""

from __future__ import annotations

from dataclasses import dataclass

ReplicaKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the probes of one replica have said so far."""

    up: bool = True
    run: int = 0
    """Results in a row that contradict `up`."""

    def after(self, healthy: bool, *, unhealthy_after: int, healthy_after: int) -> Verdict:
        """The verdict with one more result."""
        if healthy == self.up:
            return self if self.run == 0 else Verdict(self.up, 0)
        run = self.run + 1
        if run >= (healthy_after if healthy else unhealthy_after):
            return Verdict(healthy, 0)
        return Verdict(self.up, run)


class HealthBoard:
    """The verdicts of all replicas."""

    def __init__(self) -> None:
        self._verdicts: dict[ReplicaKey, Verdict] = {}

    def note(self, key: ReplicaKey, healthy: bool, *, unhealthy_after: int, healthy_after: int) -> bool:
        """Take in one result; returns whether the replica went up or down by it."""
        before = self._verdicts.get(key, Verdict())
        after = before.after(healthy, unhealthy_after=unhealthy_after, healthy_after=healthy_after)
        self._verdicts[key] = after
        return before.up != after.up

    def keep(self, keys: set[ReplicaKey]) -> None:
        """Forget all other replicas."""
        self._verdicts = {key: verdict for key, verdict in self._verdicts.items() if key in keys}

    def down(self) -> list[ReplicaKey]:
        return [key for key, verdict in self._verdicts.items() if not verdict.up]
