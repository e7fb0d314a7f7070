"""AIBrix's APA (pkg/controller/podautoscaler/algorithm/apa.go): a ratio with a dead band of 10 %.

Every 10 s the mean of 180 s (of 60 s in its panic) over the target; above 1.1 to at most twice as many, below 0.9 to
no fewer than half, and then only 300 s after the last change.
"""

from __future__ import annotations

import math

from gateway.virtual.scaling.seen import Seen


class Apa:
    """By requests in flight per replica."""

    name = "apa"
    tick_s = 10.0
    window_s = 180.0
    panic_s = 60.0
    cooldown_s = 300.0

    def __init__(self, target: float) -> None:
        self._target = target
        self._changed_s = 0.0

    def wanted(self, seen: Seen) -> int:
        replicas = seen.replicas
        if not replicas:
            return 1
        mean = max(seen.concurrency(self.window_s), seen.concurrency(self.panic_s))
        ratio = mean / replicas / self._target
        wanted = replicas
        if ratio > 1.1:
            wanted = min(math.ceil(replicas * ratio), 2 * replicas)
        elif ratio < 0.9 and seen.now - self._changed_s >= self.cooldown_s:
            wanted = max(math.ceil(replicas * ratio), replicas // 2, 1)
        if wanted != replicas:
            self._changed_s = seen.now
        return wanted

    def started(self, took_s: float) -> None:
        pass
