"""The HorizontalPodAutoscaler of Kubernetes 1.36, and what KEDA puts before it.

Every 15 s `ceil(metric / target)`, unless the ratio over the replicas there are is within 10 % of 1; upwards at most to
twice as many or 4 more, whichever is more, per 15 s; downwards to the most that any look of 300 s asked for.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.virtual.scaling.seen import Seen

Metric = Callable[[Seen], float]
TOLERANCE: Final = 0.1
DOWN_WINDOW_S: Final = 300.0


class Hpa:
    """By one or several metrics of AverageValue: the most that any of them asks for."""

    tick_s = 15.0

    def __init__(self, name: str, metrics: list[tuple[Metric, float]], *, least: int = 1) -> None:
        """`metrics`: each a sum over the pool, and what a replica shall have of it."""
        self.name = name
        self._metrics = metrics
        self._least = least
        self._asked: deque[tuple[float, int]] = deque()

    def wanted(self, seen: Seen) -> int:
        replicas = seen.replicas
        if not replicas:
            return self._least
        return self.stabilised(max([self.asked(seen, metric, target) for metric, target in self._metrics]), seen)

    def asked(self, seen: Seen, metric: Metric, target: float) -> int:
        """What one metric asks for."""
        replicas, value = seen.replicas, metric(seen)
        ratio = value / (target * replicas)
        return replicas if abs(1.0 - ratio) <= TOLERANCE else math.ceil(value / target)

    def stabilised(self, asked: int, seen: Seen) -> int:
        """Not faster than may be."""
        replicas = seen.replicas
        self._asked.append((seen.now, asked))
        while self._asked[0][0] <= seen.now - DOWN_WINDOW_S:
            self._asked.popleft()
        if asked > replicas:
            asked = min(asked, max(2 * replicas, replicas + 4))
        else:
            asked = min(replicas, max([count for _, count in self._asked]))
        return max(self._least, asked)

    def started(self, took_s: float) -> None:
        pass


class Keda:
    """0 to 1 and back by KEDA, which looks every 30 s and waits 300 s; in between its HPA."""

    tick_s = 15.0
    poll_s = 30.0
    cooldown_s = 300.0

    def __init__(self, hpa: Hpa, active: Callable[[Seen], bool]) -> None:
        self.name = hpa.name
        self._hpa = hpa
        self._active = active
        self._polled_s = -math.inf
        self._active_s = 0.0
        self._is_active = False

    def wanted(self, seen: Seen) -> int:
        if seen.now - self._polled_s >= self.poll_s:
            self._polled_s = seen.now
            self._is_active = self._active(seen)
            if self._is_active:
                self._active_s = seen.now
        if not seen.replicas:
            return int(self._is_active)
        if seen.now - self._active_s >= self.cooldown_s:
            return 0
        return self._hpa.wanted(seen)

    def started(self, took_s: float) -> None:
        pass
