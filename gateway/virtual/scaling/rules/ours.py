"""`routing.autoscale`, told what a gateway measures."""

from __future__ import annotations

from gateway.virtual.scaling.seen import Seen
from routing.autoscale.autoscaler import Autoscaler
from routing.autoscale.decision import ScaleDecision
from routing.autoscale.settings import AutoscaleSettings
from routing.autoscale.signals import Bounds, Signals, Speed

BASE_S = 0.05


class Ours:
    """The rule of this gateway."""

    tick_s = 2.0

    def __init__(self, settings: AutoscaleSettings, bounds: Bounds, name: str = "penstock") -> None:
        self.name = name
        self._scaler = Autoscaler(settings, 0.0)
        self._bounds = bounds
        self._requests = 0
        self._tokens = 0
        self.decisions: list[tuple[float, ScaleDecision]] = []
        """Those that change anything, and when."""

    def wanted(self, seen: Seen) -> int:
        usages = seen.last.kv_usages
        speed = Speed(seen.prefill_tokens_per_s, base_s=BASE_S)
        own_s = (
            seen.arrived_tokens / seen.arrived_requests / speed.prefill_tokens_per_s if seen.arrived_requests else 0.0
        )
        waits_s = seen.backlog_tokens / speed.prefill_tokens_per_s / seen.ready if seen.ready else 0.0
        signals = Signals(
            ready=seen.ready,
            starting_s=seen.starting_s,
            arrived_requests=float(seen.arrived_requests - self._requests),
            arrived_tokens=float(seen.arrived_tokens - self._tokens),
            backlog_tokens=float(seen.backlog_tokens),
            backlog_requests=float(seen.backlog_requests),
            in_flight=float(seen.in_flight),
            speed=speed,
            kv_usage_ratio=sum(usages) / len(usages) if usages else None,
            ttft_ms=1000.0 * (own_s + waits_s + BASE_S) if seen.ready else None,
            failing=seen.failing,
        )
        self._requests, self._tokens = seen.arrived_requests, seen.arrived_tokens
        decision = self._scaler.decide(signals, self._bounds, seen.now)
        if decision.changes:
            self.decisions.append((seen.now, decision))
        return decision.wanted

    def started(self, took_s: float) -> None:
        self._scaler.started(took_s)
