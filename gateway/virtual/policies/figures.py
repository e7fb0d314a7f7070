"""What one run says of a policy. Calls that arrive in the warm-up, while caches fill, count for nothing."""

from __future__ import annotations

import math
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
    """Of all calls, those whose first token came within the SLO: one that was refused is none of them."""
    goodput_per_s: float
    ttft_p50_s: float
    """Of those that were answered, as all that follows; infinite where none was."""
    ttft_p99_s: float
    hit_ratio: float
    """Prompt tokens found in the cache of the replica that was chosen."""
    off_ratio: float | None
    """How far what was believed to be cached was from that, as a part of the prompts; None where nobody believes."""
    imbalance: float
    """The most prefill time spent by a replica, over the mean of all."""
    refused_ratio: float = 0.0
    """Of all calls, those that were told at once that they would be late."""


def figures_of(outcomes: Sequence[Outcome], fleet: Sequence[Gpu], ttft_slo_s: float) -> Figures:
    """The figures of a run. Raises ValueError if nothing arrived after the warm-up."""
    if not outcomes:
        raise ValueError("nothing arrived: the duration or the rate is too small")
    begin_s, end_s = outcomes[0].call.at_s, outcomes[-1].call.at_s
    from_s = begin_s + WARM_UP_SHARE * (end_s - begin_s)
    measured = [one for one in outcomes if one.call.at_s >= from_s]
    answered = [one for one in measured if not one.refused]
    ttfts = sorted([one.ttft_s for one in answered])
    good = sum([ttft <= ttft_slo_s for ttft in ttfts])
    prompt_tokens = cached_tokens = off_tokens = 0
    busy_s = [0.0] * len(fleet)
    for one in answered:
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
        hit_ratio=cached_tokens / prompt_tokens if answered else 0.0,
        off_ratio=None if not answered or answered[0].predicted_tokens < 0 else off_tokens / prompt_tokens,
        imbalance=max(busy_s) * len(busy_s) / sum(busy_s) if sum(busy_s) else 1.0,
        refused_ratio=(len(measured) - len(answered)) / len(measured),
    )


def _nearest_rank(ordered: Sequence[float], q: float) -> float:
    if not ordered:
        return math.inf
    return ordered[max(0, -(-int(q * 1000) * len(ordered) // 1000) - 1)]
