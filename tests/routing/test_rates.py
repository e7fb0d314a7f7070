from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.rates import DECAY_S, SEED_BASE_MS, SEED_MS_PER_TOKEN, PrefillRate

finite = st.floats(0.0, 1e6)


@settings(deadline=None)
@given(base_ms=st.floats(0.0, 500.0), ms_per_token=st.floats(0.005, 2.0), seed=st.integers(0, 99))
def test_a_steady_replica_is_known_within_a_few_seconds(base_ms: float, ms_per_token: float, seed: int) -> None:
    rate, rng = PrefillRate(), random.Random(seed)
    for step in range(300):
        tokens = rng.uniform(1.0, 8000.0)
        rate.learn(tokens, (base_ms + ms_per_token * tokens) * rng.uniform(0.95, 1.05), step * 0.1)
    assert rate.ms_per_token == pytest.approx(ms_per_token, rel=0.1, abs=0.004)
    assert rate.base_ms == pytest.approx(base_ms, rel=0.2, abs=0.1 * ms_per_token * 4000 + 2)


def test_before_anything_is_learned_a_plausible_line_stands() -> None:
    rate = PrefillRate()
    assert (rate.base_ms, rate.ms_per_token, rate.learned) == (SEED_BASE_MS, SEED_MS_PER_TOKEN, False)


def test_a_replica_that_becomes_slower_is_followed() -> None:
    rate, rng = PrefillRate(), random.Random(1)
    for step in range(6000):
        tokens = rng.uniform(1.0, 4000.0)
        rate.learn(tokens, tokens * (0.05 if step < 3000 else 0.5), step * 0.1)
    assert rate.ms_per_token == pytest.approx(0.5, rel=0.05)


def test_samples_of_one_size_say_nothing_of_the_slope() -> None:
    rate = PrefillRate()
    for step in range(2000):  # long enough for the seed to fade
        rate.learn(1000.0, 90.0, step * DECAY_S / 20)
    kept = rate.ms_per_token
    for step in range(200):
        rate.learn(1000.0, 300.0, (2000 + step) * DECAY_S / 20)
    assert rate.ms_per_token == kept
    assert rate.base_ms + 1000.0 * kept == pytest.approx(300.0, rel=0.02)


def test_once_warm_a_burst_is_one_sample() -> None:
    rate = PrefillRate()
    for step in range(100):
        rate.learn(100.0 + step, 20.0 + step, step * 1.0)
    before = rate.base_ms
    rate.learn(100.0, 5000.0, 99.01)
    assert rate.base_ms == before


@settings(deadline=None)
@given(samples=st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(allow_nan=True), finite), max_size=60))
def test_no_report_makes_a_rate_that_is_no_rate(samples: list[tuple[float, float, float]]) -> None:
    rate = PrefillRate()
    now = 0.0
    for tokens, ttft_ms, gap_s in samples:
        now += gap_s
        rate.learn(tokens, ttft_ms, now)
        assert 0.0 < rate.ms_per_token <= 100.0
        assert 0.0 <= rate.base_ms <= 600_000.0
