"""Engines without a replica: the control plane is told at once that somebody wants one, and tells when it will serve.

What is asked for is told at most twice a second, however many requests come. Until the control plane has told, a start
is taken to take as long as the configuration says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gateway.workers.exchange.demand import EngineStart, Woken

AGAIN_S: Final = 0.5


class Wakes:
    """Of one worker."""

    def __init__(self, tell: Callable[[Woken], bool]) -> None:
        self._tell = tell
        self._starts: dict[str, tuple[EngineStart, float]] = {}
        """What was told of each engine's start, and when it should serve."""
        self._asked_s: dict[str, float] = {}

    def told(self, starts: Iterable[EngineStart], now: float) -> list[EngineStart]:
        """What is new of some engines; returns those whose start has failed."""
        failed: list[EngineStart] = []
        for start in starts:
            self._starts[start.engine] = start, now + start.serves_in_s
            if start.failed:
                failed.append(start)
        return failed

    def ask(self, engines: Sequence[str], now: float) -> float:
        """Wake these; returns in how many seconds the first of them should serve."""
        new = [engine for engine in engines if now - self._asked_s.get(engine, -AGAIN_S) >= AGAIN_S]
        if new and self._tell(Woken(new)):
            for engine in new:
                self._asked_s[engine] = now
        return min([self._serves_in_s(engine, now) for engine in engines], default=0.0)

    def failed(self, engines: Sequence[str], now: float) -> float | None:
        """In how many seconds the first of these is tried again; None unless, as was last told, each fails to start."""
        if not all(engine in self._starts and self._starts[engine][0].failed for engine in engines):
            return None
        return min([self._serves_in_s(engine, now) for engine in engines], default=None)

    def _serves_in_s(self, engine: str, now: float) -> float:
        known = self._starts.get(engine)
        if known is None:
            return 0.0
        start, serves_s = known
        return max(0.0, serves_s - now) if start.starting else start.serves_in_s
