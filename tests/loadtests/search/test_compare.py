from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from loadtests.search.compare import Leg, align, compare, comparison_table, legs, run_paired
from loadtests.statistics.columns import Columns, columns
from loadtests.statistics.slo import Slo
from tests.loadtests.statistics.made import answered, failed

pytestmark = pytest.mark.slow

COUNT = 400


def side(extra_ms: float, seed: int = 1, noise_ms: float = 0.5) -> Columns:
    """Requests of very different latency, the same in both sides but for `extra_ms` and a little noise."""
    base = np.random.default_rng(1).lognormal(4, 1, COUNT)
    noise = np.random.default_rng(seed).normal(0, noise_ms, COUNT)
    return columns([answered(n, at_ms=n, ttft_ms=float(base[n] + 5 + extra_ms + noise[n])) for n in range(COUNT)])


def test_a_small_difference_shows_under_a_spread_a_hundred_times_as_wide() -> None:
    found = compare([(side(0, seed=2), side(1.0, seed=3))], seed=4)
    ttft = next(difference for difference in found.differences if difference.metric == "ttft_service")
    assert ttft.median.low <= 0.001 <= ttft.median.high
    assert ttft.median.differs
    assert ttft.median.high - ttft.median.low < 0.0005
    assert ttft.a_p99_s - ttft.a_p50_s > 0.1


def test_two_equal_targets_are_not_said_to_differ() -> None:
    claims = 0
    for seed in range(20):
        found = compare([(side(0, seed=2 * seed), side(0, seed=2 * seed + 1))], seed=seed, resamples=100)
        claims += next(d for d in found.differences if d.metric == "ttft_service").median.differs
    assert claims <= 4  # one in twenty is what 95 % means; five and more of twenty would be one in 400 by chance


def test_pairs_are_of_the_same_request_whatever_the_order_of_the_records() -> None:
    a = columns([answered(n, ttft_ms=10 * n + 10) for n in (2, 0, 1)])
    b = columns([answered(n, ttft_ms=10 * n + 11) for n in (1, 2, 0)])
    found = compare([(a, b)], resamples=50)
    ttft = found.differences[0]
    assert 3 == ttft.pairs
    assert pytest.approx([0.001, 0.001]) == [ttft.median.low, ttft.median.high]


def test_a_request_that_failed_on_one_side_is_in_no_difference_but_in_attainment() -> None:
    a = columns([answered(0), answered(1), answered(2), failed(3)])
    b = columns([answered(0), failed(1), failed(2), failed(3)])
    found = compare([(a, b)], Slo(ttft_s=1.0), resamples=50)
    assert (4, 1, 2, 0, 1) == (found.scheduled, found.both, found.only_a, found.only_b, found.neither)
    assert (0.75, 0.25, -0.5) == (found.attainment_a.ratio, found.attainment_b.ratio, found.attainment_difference.value)


def test_answers_of_unequal_length_are_counted() -> None:
    a, b = (columns([answered(0, tokens=tokens), answered(1)]) for tokens in (11, 12))
    assert 1 == compare([(a, b)], resamples=50).length_mismatches


def test_two_schedules_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="not one schedule"):
        align(columns([answered(0)]), columns([answered(1)]))
    with pytest.raises(ValueError, match="occurs twice"):
        align(columns([answered(0), answered(0)]), columns([answered(0), answered(0)]))


def test_rounds_alternate_and_share_a_schedule_but_no_prompt() -> None:
    order = legs(4, seed=10)
    assert ["a", "b", "b", "a", "a", "b", "b", "a"] == [leg.side for leg in order]
    assert [10, 11, 12, 13] == sorted({leg.seed for leg in order})
    assert all(one.seed == other.seed for one, other in list(pairwise(order))[::2])
    assert len(order) == len({leg.salt for leg in order})


def test_the_runs_of_a_round_are_paired() -> None:
    ran: list[str] = []

    def measure(leg: Leg) -> Columns:
        ran.append(leg.salt)
        return columns([answered(0, ttft_ms=len(ran))])

    pairs = run_paired(measure, 2, 0)
    assert ["0a", "0b", "1b", "1a"] == ran
    assert [(0.001, 0.002), (0.004, 0.003)] == [(a.ttft_service_s[0], b.ttft_service_s[0]) for a, b in pairs]


def test_the_table_says_what_was_paired_and_where_nothing_was_shown() -> None:
    text = comparison_table(compare([(side(0, 2), side(0, 3))], resamples=100), "direct", "gateway")
    assert "a = direct, b = gateway" in text
    assert "400 scheduled pairs: 400 answered by both" in text
    assert "(no difference shown)" in text
