"""llm-d's guides for workload autoscaling: by queue with a guard for those on their way, by tokens, and by SLO."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from gateway.virtual.scaling.rules.hpa import Hpa
from gateway.virtual.scaling.seen import Seen

UP: Final = 0.55
DOWN: Final = 0.40
MOST: Final = 2.0
SLO_WINDOW_S: Final = 45.0


class LlmDQueue(Hpa):
    """`max(queue / 1, running / 16)`; where that is more than there are, less those on their way."""

    def __init__(self) -> None:
        super().__init__("llm-d queue", [])

    def wanted(self, seen: Seen) -> int:
        replicas = seen.replicas
        if not replicas:
            return 1
        last = seen.last
        asked = math.ceil(max(last.waiting / 1.0, last.running / 16.0))
        if asked > replicas:
            asked = max(asked - len(seen.starting_s), replicas)
        return self.stabilised(asked, seen)


def llm_d_tokens(slo_s: float, prompt_tokens: float, prefill_tokens_per_s: float) -> Hpa:
    """`ceil(backlog / V_P / threshold)` and `ceil(sum of KV usage / 0.8)`; threshold: the SLO less a prompt's time."""
    per_replica = prefill_tokens_per_s * (slo_s - prompt_tokens / prefill_tokens_per_s)
    return Hpa(
        "llm-d tokens",
        [
            (lambda seen: float(seen.last.in_flight_tokens), per_replica),
            (lambda seen: sum(seen.last.kv_usages), 0.8),
        ],
    )


class LlmDSlo:
    """The mean over 45 s of `min(max(P90 TTFT / SLO, P90 TPOT / SLO), 2)`: above 0.55 up, below 0.40 down; at most to
    twice as many or 4 more per minute, and by one less per two minutes."""

    name = "llm-d SLO"
    tick_s = 15.0

    def __init__(self, ttft_s: float, tpot_s: float) -> None:
        self._ttft_s = ttft_s
        self._tpot_s = tpot_s
        self._looks: deque[tuple[float, float]] = deque()
        self._ups: deque[tuple[float, int]] = deque()
        self._down_s = 0.0

    def wanted(self, seen: Seen) -> int:
        replicas = seen.replicas
        if not replicas:
            return 1
        ttft, tpot = seen.p90(seen.ttfts, 60.0), seen.p90(seen.tpots, 60.0)
        if ttft is None:
            return replicas  # no value, no change
        self._looks.append((seen.now, min(max(ttft / self._ttft_s, (tpot or 0.0) / self._tpot_s), MOST)))
        while self._looks[0][0] < seen.now - SLO_WINDOW_S:
            self._looks.popleft()
        met = sum([value for _, value in self._looks]) / len(self._looks)
        if met > UP:
            return self._up(replicas, replicas + math.ceil(replicas * (met * (seen.ready / replicas) / UP - 1.0)), seen)
        if met < DOWN and seen.now - self._down_s >= 120.0 and replicas > 1:
            self._down_s = seen.now
            return replicas - 1
        return replicas

    def _up(self, replicas: int, asked: int, seen: Seen) -> int:
        while self._ups and self._ups[0][0] <= seen.now - 60.0:
            self._ups.popleft()
        before = replicas - sum([count for _, count in self._ups])
        wanted = max(replicas, min(asked, max(2 * before, before + 4)))
        if wanted > replicas:
            self._ups.append((seen.now, wanted - replicas))
        return wanted

    def started(self, took_s: float) -> None:
        pass
