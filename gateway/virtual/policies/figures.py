"""What one run says of a policy. Calls that arrive in the warm-up, while caches fill, count for nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.virtual.fleet.modelled import Outcome
from gateway.virtual.fleet.replicas import Gpu

WARM_UP_SHARE = 0.25
"""Of the time that arrivals span."""


class Figures(msgspec.Struct, frozen=True):
    """One policy, one seed."""

    calls: int
    good_ratio: float
    """Calls whose first token came within the SLO."""
    goodput_per_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    hit_ratio: float
    """Prompt tokens found in the cache of the replica that was chosen."""
    off_ratio: float | None
    """How far what was believed to be cached was from that, as a part of the prompts; None where nobody believes."""
    imbalance: float
    """The most prefill time spent by a replica, over the mean of all."""


def figures_of(outcomes: Sequence[Outcome], fleet: Sequence[Gpu], ttft_slo_s: float) -> Figures:
    """The figures of a run. Raises ValueError if nothing arrived after the warm-up."""
    if not outcomes:
        raise ValueError("nothing arrived: the duration or the rate is too small")
    begin_s, end_s = outcomes[0].call.at_s, outcomes[-1].call.at_s
    from_s = begin_s + WARM_UP_SHARE * (end_s - begin_s)
    measured = [one for one in outcomes if one.call.at_s >= from_s]
    ttfts = sorted([one.ttft_s for one in measured])
    good = sum([ttft <= ttft_slo_s for ttft in ttfts])
    prompt_tokens = cached_tokens = off_tokens = 0
    busy_s = [0.0] * len(fleet)
    for one in measured:
        tokens = one.call.arrival.input_tokens
        prompt_tokens += tokens
        cached_tokens += one.cached_tokens
        off_tokens += abs(one.predicted_tokens - one.cached_tokens)
        busy_s[one.replica] += (tokens - one.cached_tokens) / fleet[one.replica].prefill_tokens_per_s
    span_s = end_s - from_s
    return Figures(
        calls=len(measured),
        good_ratio=good / len(measured),
        goodput_per_s=good / span_s if span_s > 0 else 0.0,
        ttft_p50_s=_nearest_rank(ttfts, 0.5),
        ttft_p99_s=_nearest_rank(ttfts, 0.99),
        hit_ratio=cached_tokens / prompt_tokens,
        off_ratio=None if measured[0].predicted_tokens < 0 else off_tokens / prompt_tokens,
        imbalance=max(busy_s) * len(busy_s) / sum(busy_s) if sum(busy_s) else 1.0,
    )


def _nearest_rank(ordered: Sequence[float], q: float) -> float:
    return ordered[max(0, -(-int(q * 1000) * len(ordered) // 1000) - 1)]
