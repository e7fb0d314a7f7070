"""What a rule can see of a pool: its replicas at this moment, and series of the last minutes, a value a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

KEPT_S: Final = 900


@dataclass(slots=True)
class Second:
    """The pool at one second."""

    ready: int
    running: int
    """Requests that engines run, those whose prompt is being computed included."""
    waiting: int
    """Requests that wait in the gateway or in an engine."""
    kv_usages: Sequence[float]
    """Of each ready replica."""
    in_flight_tokens: int
    """Prompt tokens that are not computed yet."""


@dataclass(slots=True)
class Seen:
    """All that a rule may look at. The series are never cut off at a look, as those of a metrics store are not."""

    now: float = 0.0
    ready: int = 0
    starting_s: list[float] = field(default_factory=list)
    """Of each that starts, in how many seconds it should serve."""
    failing: int = 0
    prefill_tokens_per_s: float = 0.0
    arrived_requests: int = 0
    """Ever."""
    arrived_tokens: int = 0
    backlog_tokens: int = 0
    backlog_requests: int = 0
    in_flight: int = 0
    seconds: deque[Second] = field(default_factory=lambda: deque(maxlen=KEPT_S))
    ttfts: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=20_000))
    """When a first token came, and after how long."""
    tpots: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=20_000))

    @property
    def replicas(self) -> int:
        """Ready or on their way: what `status.replicas` says."""
        return self.ready + len(self.starting_s)

    @property
    def last(self) -> Second:
        return self.seconds[-1]

    def lately(self, window_s: float) -> list[Second]:
        """The seconds of a window; at least the last one."""
        seconds = self.seconds
        count = min(len(seconds), max(1, round(window_s)))
        return [seconds[at] for at in range(len(seconds) - count, len(seconds))]

    def concurrency(self, window_s: float) -> float:
        """Requests in flight, those that wait included, in the mean."""
        lately = self.lately(window_s)
        return sum([one.running + one.waiting for one in lately]) / len(lately)

    def p90(self, values: deque[tuple[float, float]], window_s: float) -> float | None:
        """Of what came within a window; None where nothing came, as NaN is what a metrics store says then."""
        found = []
        for at_s, value in reversed(values):
            if at_s < self.now - window_s:
                break
            found.append(value)
        found.sort()
        return found[int(0.9 * (len(found) - 1))] if found else None
