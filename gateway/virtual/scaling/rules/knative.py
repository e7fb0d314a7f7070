"""Knative's KPA (pkg/autoscaler/scaling/autoscaler.go): mean concurrency over 60 s, over 6 s in a panic.

Every 2 s `ceil(concurrency / target)`; a panic begins where the 6 s ask for twice the ready replicas and lasts for 60 s
after that, in which nothing goes down; at most 1,000 times as many and half as many at a time; to zero 30 s after the
window is empty. The target is 70 % of what a replica is said to take.
"""

from __future__ import annotations

import math

from gateway.virtual.scaling.seen import Seen


class Kpa:
    """By concurrency."""

    tick_s = 2.0
    stable_s = 60.0
    panic_s = 6.0
    grace_s = 30.0

    def __init__(self, concurrency: float, name: str = "kpa") -> None:
        self.name = name
        self._target = 0.7 * concurrency
        self._panic_until_s = -math.inf
        self._most_in_panic = 0
        self._empty_s: float | None = None

    def wanted(self, seen: Seen) -> int:
        ready = max(1, seen.ready)
        stable, panic = seen.concurrency(self.stable_s), seen.concurrency(self.panic_s)
        if panic / self._target / ready >= 2.0:
            self._panic_until_s = seen.now + self.stable_s
        least, most = math.floor(ready / 2.0), 1000 * ready
        by_stable = min(most, max(least, math.ceil(stable / self._target)))
        by_panic = min(most, max(least, math.ceil(panic / self._target)))
        if seen.now < self._panic_until_s:
            self._most_in_panic = max(self._most_in_panic, by_panic, seen.replicas)
            return self._most_in_panic
        self._most_in_panic = 0
        if stable > 0.0:
            self._empty_s = None
            return max(1, by_stable)
        if self._empty_s is None:
            self._empty_s = seen.now
        return 0 if seen.now - self._empty_s >= self.grace_s else min(1, seen.replicas)

    def started(self, took_s: float) -> None:
        pass
