"""The workload-variant-autoscaler's saturation rule (docs/saturation-analyzer.md), one variant.

Every 60 s, on the maxima of the minute before: a replica is saturated at 80 % KV usage or 5 that wait. Where those that
are not have in the mean less than 10 % KV or 3 places to spare, one more, unless one is on its way already; where the
load would leave that much to spare on one fewer, one fewer. To zero after 10 minutes without a request.
"""

from __future__ import annotations

from gateway.virtual.scaling.seen import Seen

KV_RATIO = 0.8
QUEUE = 5.0
SPARE_KV = 0.1
SPARE_QUEUE = 3.0
TO_ZERO_S = 600.0


class Wva:
    """See the module."""

    name = "wva"
    tick_s = 60.0

    def __init__(self) -> None:
        self._requests = 0
        self._busy_s = 0.0

    def wanted(self, seen: Seen) -> int:
        if seen.arrived_requests > self._requests or seen.in_flight:
            self._busy_s = seen.now
        self._requests = seen.arrived_requests
        replicas, ready = seen.replicas, seen.ready
        if seen.now - self._busy_s >= TO_ZERO_S:
            return 0
        if not replicas:
            return 1 if seen.in_flight else 0
        if not ready:
            return replicas
        minute = seen.lately(60.0)
        kv = max([sum(one.kv_usages) / max(1, len(one.kv_usages)) for one in minute])
        queue = max([one.waiting / max(1, one.ready) for one in minute])
        if kv >= KV_RATIO or queue >= QUEUE or KV_RATIO - kv < SPARE_KV or QUEUE - queue < SPARE_QUEUE:
            return replicas if seen.starting_s else replicas + 1
        if ready > 1 and not seen.starting_s:
            more = ready / (ready - 1)
            if KV_RATIO - kv * more >= SPARE_KV and QUEUE - queue * more >= SPARE_QUEUE:
                return replicas - 1
        return replicas

    def started(self, took_s: float) -> None:
        pass
