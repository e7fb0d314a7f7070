"""What a run's outcomes come to, by hand."""

from __future__ import annotations

import math

import pytest

from gateway.virtual.fleet.modelled import REFUSED, Outcome
from gateway.virtual.fleet.replicas import Gpu
from gateway.virtual.intervals import Interval, difference_interval, mean_interval, ratio_interval, t_975
from gateway.virtual.policies.figures import Figures, figures_of
from gateway.virtual.trace import Arrival, Call


def outcome(at_s: float, ttft_s: float, replica: int, cached_tokens: int) -> Outcome:
    made = Outcome(Call(0, Arrival(arrival_ms=1000 * at_s, input_tokens=1000, output_tokens=1)), replica)
    made.ttft_s, made.cached_tokens = ttft_s, cached_tokens
    return made


def test_the_figures_of_a_run() -> None:
    fleet = (Gpu(prefill_tokens_per_s=1000), Gpu(prefill_tokens_per_s=500))
    outcomes = [
        outcome(0.0, 9.0, 0, 0),  # warm-up
        outcome(1.0, 0.1, 0, 500),  # 0.5 s of prefill
        outcome(2.0, 0.5, 1, 750),  # 0.5 s
        outcome(3.0, 0.6, 1, 0),  # 2 s
        outcome(4.0, 0.3, 0, 1000),
    ]
    expected = Figures(
        calls=4,
        good_ratio=0.75,
        goodput_per_s=1.0,
        ttft_p50_s=0.3,
        ttft_p99_s=0.6,
        hit_ratio=2250 / 4000,
        off_ratio=None,
        imbalance=5 / 3,
    )
    assert expected == figures_of(outcomes, fleet, 0.5)
    for one, predicted_tokens in zip(outcomes, (0, 500, 1000, 50, 900), strict=True):
        one.predicted_tokens = predicted_tokens
    assert (250 + 50 + 100) / 4000 == figures_of(outcomes, fleet, 0.5).off_ratio


def test_what_is_refused_is_a_call_that_is_not_good_and_has_no_ttft() -> None:
    fleet = (Gpu(prefill_tokens_per_s=1000),)
    outcomes = [outcome(0.0, 9.0, 0, 0), outcome(1.0, 0.3, 0, 500), outcome(2.0, math.inf, REFUSED, 0)]
    outcomes += [outcome(3.0, 0.6, 0, 500), outcome(4.0, math.inf, REFUSED, 0)]
    found = figures_of(outcomes, fleet, 0.5)
    assert (found.calls, found.good_ratio, found.refused_ratio, found.goodput_per_s) == (4, 0.25, 0.5, 1 / 3)
    assert (found.ttft_p50_s, found.ttft_p99_s, found.hit_ratio, found.imbalance) == (0.3, 0.6, 0.5, 1.0)


def test_where_all_is_refused_no_first_token_ever_comes() -> None:
    outcomes = [outcome(at_s, math.inf, REFUSED, 0) for at_s in (0.0, 1.0, 2.0)]
    found = figures_of(outcomes, (Gpu(),), 0.5)
    assert (found.good_ratio, found.refused_ratio, found.ttft_p99_s, found.off_ratio) == (0.0, 1.0, math.inf, None)


def test_nothing_that_arrived_has_no_figures() -> None:
    with pytest.raises(ValueError, match="nothing arrived"):
        figures_of([], (Gpu(),), 0.5)


def rounded(interval: Interval) -> tuple[float, ...]:
    return tuple(round(one, 3) for one in interval)


def test_intervals_are_students() -> None:
    assert rounded(mean_interval([1.0, 2.0, 3.0])) == (2.0, -0.484, 4.484)
    assert mean_interval([4.0]) == (4.0, -math.inf, math.inf)
    assert [t_975(1), t_975(10), t_975(11), t_975(12), t_975(1000)] == [12.706, 2.228, 2.228, 2.179, 1.98]


def test_comparisons_are_of_pairs() -> None:
    assert rounded(ratio_interval([2.0, 20.0, 200.0], [1.0, 10.0, 100.0])) == (2.0, 2.0, 2.0)
    assert rounded(ratio_interval([2.0], [1.0])) == (2.0, 0.0, math.inf)
    assert rounded(difference_interval([5.0, 50.0], [4.0, 49.0])) == (1.0, 1.0, 1.0)
