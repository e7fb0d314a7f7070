"""Looks at an engine that nobody runs: signals with everything but what a test is about left at rest."""

from __future__ import annotations

from collections.abc import Sequence

from routing.autoscale.autoscaler import Autoscaler
from routing.autoscale.decision import ScaleDecision
from routing.autoscale.demand import Asking
from routing.autoscale.settings import AutoscaleSettings
from routing.autoscale.signals import Bounds, Signals, Speed

SPEED = Speed(4000.0)
ANY = Bounds(0, 100)
TICK_S = 2.0


def look(
    ready: int = 1,
    *,
    starting_s: Sequence[float] = (),
    rate: float = 0.0,
    size: float = 2000.0,
    backlog: float = 0.0,
    in_flight: float = 0.0,
    kv: float | None = None,
    ttft_ms: float | None = None,
    failing: int = 0,
    tick_s: float = TICK_S,
) -> Signals:
    """`rate` in prompt tokens per second, of prompts of `size`."""
    tokens = rate * tick_s
    return Signals(
        ready=ready,
        starting_s=starting_s,
        arrived_requests=tokens / size,
        arrived_tokens=tokens,
        backlog_tokens=backlog,
        backlog_requests=backlog / size,
        in_flight=in_flight + backlog / size,
        speed=SPEED,
        kv_usage_ratio=kv,
        ttft_ms=ttft_ms,
        failing=failing,
    )


class Story:
    """An autoscaler whose decisions are carried out at once, and the time."""

    def __init__(
        self,
        settings: AutoscaleSettings | None = None,
        *,
        ready: int = 1,
        bounds: Bounds = ANY,
        demand: Asking | None = None,
    ) -> None:
        self.now = 0.0
        self.ready = ready
        self.bounds = bounds
        self.scaler = Autoscaler(settings or AutoscaleSettings(startup_s=30.0), self.now, demand)

    def run(self, seconds: float, signals: Signals | None = None, *, follow: bool = True, **of: float) -> ScaleDecision:
        """Look again and again at the same, for so long; returns the last decision."""
        end_s = self.now + seconds
        decision = None
        while decision is None or self.now < end_s:
            self.now += TICK_S
            decision = self.scaler.decide(signals or look(self.ready, **of), self.bounds, self.now)  # type: ignore[arg-type]
            if follow:
                self.ready = decision.wanted
        return decision
