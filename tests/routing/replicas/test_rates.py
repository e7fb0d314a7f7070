from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.replicas.rates import DECAY_S, SEED_BASE_MS, SEED_MS_PER_TOKEN, PrefillRate, together

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


@settings(deadline=None)
@given(seed=st.integers(0, 99), held_up=st.integers(1, 40), hang_s=st.floats(5.0, 120.0))
def test_one_that_hung_is_known_again_a_few_seconds_after(seed: int, held_up: int, hang_s: float) -> None:
    """What it held up came after the hang, all at once."""
    rate, rng = PrefillRate(), random.Random(seed)

    def learn(now: float) -> None:
        tokens = rng.uniform(200.0, 2000.0)
        rate.learn(tokens, 20.0 + 0.1 * tokens, now)

    for step in range(1000):
        learn(step * 0.1)
    for _ in range(held_up):
        rate.learn(rng.uniform(200.0, 6000.0), hang_s * 1e3, 100.0 + hang_s)
    for step in range(150):
        learn(100.0 + hang_s + step * 0.1)
    assert rate.ttft_ms(1000.0) == pytest.approx(120.0, abs=120.0)


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


def line_of(ms_per_token: float, noise: float, rng: random.Random, samples: int = 100) -> PrefillRate:
    """What is learned of a replica whose first tokens come so many times later or earlier than they should."""
    rate = PrefillRate()
    for step in range(samples):
        tokens = rng.uniform(1.0, 8000.0)
        rate.learn(tokens, (20.0 + ms_per_token * tokens) * rng.lognormvariate(0.0, noise), step * 0.1)
    return rate


@settings(deadline=None)
@given(seed=st.integers(0, 999), replicas=st.integers(1, 8), noise=st.floats(0.0, 0.5))
def test_replicas_of_one_kind_are_taken_to_be_about_equally_fast(seed: int, replicas: int, noise: float) -> None:
    rng = random.Random(seed)
    lines = [line_of(0.06, noise, rng) for _ in range(replicas)]
    made = together(lines)
    assert len(made) == replicas
    each = [one.ms_per_token for one in lines]
    assert max(made) - min(made) <= max(1e-12, 0.5 * (max(each) - min(each)))
    assert sum(made) / replicas == pytest.approx(sum(each) / replicas)


@settings(deadline=None)
@given(seed=st.integers(0, 999), each=st.integers(1, 4), times=st.floats(2.0, 8.0))
def test_of_two_kinds_the_faster_one_is_known_to_be(seed: int, each: int, times: float) -> None:
    rng = random.Random(seed)
    fast = [line_of(0.06, 0.1, rng) for _ in range(each)]
    slow = [line_of(0.06 * times, 0.1, rng) for _ in range(each)]
    made = together([*fast, *slow])
    assert max(made[:each]) * 1.2 < min(made[each:])
    lines = [one.ms_per_token for one in (*fast, *slow)]
    assert min(lines) <= min(made)
    assert max(made) <= max(lines)


def test_one_of_whom_little_is_known_is_like_the_others() -> None:
    rng = random.Random(1)
    known = [line_of(0.06, 0.1, rng), line_of(0.3, 0.1, rng)]
    newcomer = line_of(5.0, 0.1, rng, samples=3)
    mean = sum(one.ms_per_token for one in known) / 2
    assert together([*known, newcomer])[2] == pytest.approx(mean)
    assert together([newcomer, PrefillRate()]) == pytest.approx([(newcomer.ms_per_token + SEED_MS_PER_TOKEN) / 2] * 2)
    assert together([]) == []


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(finite, finite), max_size=40), max_size=5))
def test_whatever_was_learned_all_together_lie_between_the_fastest_and_the_slowest(
    learned: list[list[tuple[float, float]]],
) -> None:
    lines = [PrefillRate() for _ in learned]
    for line, samples in zip(lines, learned, strict=True):
        for step, (tokens, ttft_ms) in enumerate(samples):
            line.learn(tokens, ttft_ms, float(step))
        assert line.variance >= 0.0
    each = [line.ms_per_token for line in lines]
    assert all(min(each) - 1e-9 <= one <= max(each) + 1e-9 for one in together(lines))
