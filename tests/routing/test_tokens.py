from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.replicas.ewma import Ewma
from routing.tokens import TokenEstimate


def test_samples_at_one_instant_all_count() -> None:
    mean = Ewma(seed=0.0, decay_s=10.0, seed_weight=1.0)
    for value in (3.0, 6.0, 3.0):
        mean.add(value, now=5.0)
    assert mean.value == pytest.approx((0 + 3 + 6 + 3) / 4)


def test_old_samples_lose_weight_by_e_per_decay_time() -> None:
    mean = Ewma(seed=0.0, decay_s=10.0, seed_weight=1.0)
    mean.add(1.0, now=0.0)
    mean.add(5.0, now=10.0)
    old = 2 / math.e
    assert mean.value == pytest.approx((0.5 * old + 5.0) / (old + 1))
    mean.add(5.0, now=20.0)
    older, old = 2 / math.e**2, 1 / math.e
    assert mean.value == pytest.approx((0.5 * older + 5.0 * old + 5.0) / (older + old + 1))


def test_after_a_long_silence_the_next_sample_is_the_mean() -> None:
    mean = Ewma(seed=7.0, decay_s=10.0)
    mean.add(1.0, now=0.0)
    mean.add(5.0, now=1e9)
    assert mean.value == 5.0


@settings(deadline=None)
@given(samples=st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4), st.floats(0.001, 1e5)), min_size=1))
def test_the_mean_never_leaves_the_range_of_what_it_has_seen(samples: list[tuple[float, float, float]]) -> None:
    mean = Ewma(seed=1.0, decay_s=60.0)
    for value, now, weight in samples:
        mean.add(value, now, weight)
    seen = [1.0, *(value for value, _, _ in samples)]
    slack = 1e-9 * max(seen)
    assert min(seen) - slack <= mean.value <= max(seen) + slack


def test_before_anything_is_learned_a_token_is_four_bytes() -> None:
    assert TokenEstimate().prompt_tokens(2000) == 500


def test_no_request_is_free() -> None:
    estimate = TokenEstimate()
    assert (estimate.prompt_tokens(0), estimate.prompt_tokens(3), estimate.output_tokens(0)) == (1, 1, 1)


def test_the_ratio_follows_reported_usage() -> None:
    estimate = TokenEstimate()
    for now in range(200):
        estimate.learn(prompt_bytes=3000, input_tokens=1000, output_tokens=50, now=float(now))
    assert 990 <= estimate.prompt_tokens(3000) <= 1000


def test_the_output_share_is_the_lower_of_the_limit_and_what_answers_have_been() -> None:
    estimate = TokenEstimate()
    for now in range(100):
        estimate.learn(prompt_bytes=100, input_tokens=25, output_tokens=40, now=float(now))
    usual = estimate.output_tokens(None)
    assert 40 <= usual <= 44
    assert [estimate.output_tokens(m) for m in (10, usual, 4096)] == [10, usual, usual]


def test_an_absurd_usage_report_cannot_poison_the_estimate() -> None:
    estimate = TokenEstimate()
    estimate.learn(prompt_bytes=4096, input_tokens=10**12, output_tokens=10**15, now=0.0)
    assert estimate.prompt_tokens(4) <= 16
    assert estimate.output_tokens(None) <= 1_000_000


def test_a_report_of_nothing_teaches_nothing() -> None:
    estimate = TokenEstimate()
    estimate.learn(prompt_bytes=0, input_tokens=0, output_tokens=0, now=0.0)
    assert (estimate.prompt_tokens(400), estimate.output_tokens(None)) == (100, 256)


def test_where_answers_run_to_their_limit_the_limit_is_what_they_take() -> None:
    tokens = TokenEstimate()
    for second in range(100):
        tokens.learn(400, 100, 100, float(second), cut=True)
    assert (tokens.output_tokens(900), tokens.output_tokens(10), tokens.output_tokens(None)) == (900, 10, 101)
    for second in range(100, 400):
        tokens.learn(400, 100, 100, float(second), cut=second % 2 == 0)
    assert tokens.output_tokens(900) == 100
