"""One seed is one schedule, for any number of workers, and each process is the one its name says."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.schedule.arrivals import (
    MAX_ARRIVALS,
    Arrivals,
    Constant,
    Gamma,
    Mmpp,
    Poisson,
    Ramp,
    Replay,
    fingerprint,
    parse_arrivals,
    schedule,
    shard,
    with_rate,
)
from loadtests.traces import load_trace

NS = 1_000_000_000
SAMPLES = Path(__file__).parents[3] / "loadtests" / "traces" / "samples"
AZURE = str(SAMPLES / "azure.csv")
RAMP = Ramp(points=((0.0, 20.0), (5.0, 200.0), (8.0, 0.0)))

rates = st.floats(0.5, 500)
seeds = st.integers(0, 2**40)
durations = st.floats(0.1, 20)
kinds: st.SearchStrategy[Arrivals] = st.one_of(
    st.builds(Constant, rate_per_s=rates),
    st.builds(Poisson, rate_per_s=rates),
    st.builds(Gamma, rate_per_s=rates, cv=st.floats(0.2, 8)),
    st.builds(Mmpp, rate_per_s=rates, on_s=st.floats(0.1, 5), off_s=st.floats(0.1, 5), quiet_ratio=st.floats(0, 1)),
    st.just(RAMP),
    st.builds(Replay, file=st.just(AZURE), speed=st.floats(0.5, 50)),
)


def gaps_s(offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.diff(offsets) / NS


def ks_distance(samples: npt.NDArray[np.float64], cdf: Callable[[float], float]) -> float:
    """Kolmogorov and Smirnov: the largest distance between the observed and the expected distribution."""
    ordered = np.sort(samples)
    expected = np.array([cdf(float(value)) for value in ordered])
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


def ks_limit(count: int) -> float:
    """Exceeded by one sample of the right distribution in a thousand."""
    return 1.95 / math.sqrt(count)


@settings(deadline=None, max_examples=60)
@given(kinds, durations, seeds)
def test_a_schedule_ascends_within_the_run(spec: Arrivals, duration_s: float, seed: int) -> None:
    offsets = schedule(spec, duration_s, seed)
    assert offsets.dtype == np.int64
    assert bool((np.diff(offsets) >= 0).all())
    assert bool(((offsets >= 0) & (offsets < duration_s * NS)).all())


@settings(deadline=None, max_examples=60)
@given(kinds, durations, seeds)
def test_the_same_seed_is_the_same_schedule(spec: Arrivals, duration_s: float, seed: int) -> None:
    assert schedule(spec, duration_s, seed).tolist() == schedule(spec, duration_s, seed).tolist()


@settings(deadline=None, max_examples=60)
@given(kinds, durations, seeds, st.floats(0.05, 1))
def test_a_longer_run_begins_with_the_shorter_one(spec: Arrivals, long_s: float, seed: int, share: float) -> None:
    long = schedule(spec, long_s, seed)
    short = schedule(spec, long_s * share, seed)
    assert long[long < round(long_s * share * NS)].tolist() == short.tolist()


@settings(deadline=None, max_examples=60)
@given(kinds, durations, seeds, st.integers(1, 40))
def test_the_shards_of_any_number_of_workers_are_the_whole(
    spec: Arrivals, duration_s: float, seed: int, workers: int
) -> None:
    whole = schedule(spec, duration_s, seed)
    union: list[tuple[int, int]] = []
    for worker in range(workers):
        indexes, offsets = shard(schedule(spec, duration_s, seed), worker, workers)
        assert {index % workers for index in indexes.tolist()} <= {worker}
        union += zip(indexes.tolist(), offsets.tolist(), strict=True)
    assert sorted(union) == list(enumerate(whole.tolist()))


@pytest.mark.parametrize("worker", [-1, 3, 4])
def test_a_worker_that_is_not_one_of_them_is_refused(worker: int) -> None:
    with pytest.raises(ValueError, match="of 3: it must be 0 to 2"):
        shard(schedule(Constant(rate_per_s=1), 1, 0), worker, 3)


def test_another_process_makes_the_same_schedule() -> None:
    program = (
        "from loadtests.schedule.arrivals import *;"
        "print(fingerprint(schedule(parse_arrivals('gamma:cv=2', rate=50), 20, 7)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=SAMPLES.parents[2]
    )
    assert run.stdout.strip() == fingerprint(schedule(Gamma(rate_per_s=50, cv=2), 20, 7))


def test_another_seed_is_another_schedule() -> None:
    assert fingerprint(schedule(Poisson(rate_per_s=50), 2, 1)) != fingerprint(schedule(Poisson(rate_per_s=50), 2, 2))


def test_a_fingerprint_sees_one_nanosecond() -> None:
    offsets = schedule(Constant(rate_per_s=10), 1, 0)
    moved = offsets.copy()
    moved[3] += 1
    assert fingerprint(offsets) == fingerprint(offsets.copy())
    assert fingerprint(offsets) != fingerprint(moved)


def test_constant_is_evenly_spaced_from_zero() -> None:
    assert schedule(Constant(rate_per_s=4), 1.5, 0).tolist() == [0, NS // 4, NS // 2, 3 * NS // 4, NS, 5 * NS // 4]
    assert schedule(Constant(rate_per_s=3), 1, 0).tolist() == [0, 333_333_333, 666_666_667]


def test_constant_keeps_its_rate_over_a_long_run() -> None:
    offsets = schedule(Constant(rate_per_s=700), 3600, 0)
    assert len(offsets) == 700 * 3600
    assert int(offsets[-1]) == round((700 * 3600 - 1) / 700 * NS)  # no drift from adding rounded gaps


@pytest.mark.parametrize("seed", range(5))
def test_poisson_gaps_are_exponential(seed: int) -> None:
    gaps = gaps_s(schedule(Poisson(rate_per_s=40), 500, seed))
    assert ks_distance(gaps, lambda x: 1 - math.exp(-40 * x)) < ks_limit(len(gaps))
    assert ks_distance(gaps, lambda x: 1 - math.exp(-44 * x)) > ks_limit(len(gaps))  # the test can tell


@pytest.mark.parametrize(
    ("cv", "cdf"),
    [
        (1.0, lambda x: 1 - math.exp(-40 * x)),  # shape 1
        (math.sqrt(0.5), lambda x: 1 - math.exp(-80 * x) * (1 + 80 * x)),  # shape 2: Erlang
        (math.sqrt(2), lambda x: math.erf(math.sqrt(20 * x))),  # shape 1/2: chi squared of one degree
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_gamma_gaps_are_gamma(cv: float, cdf: Callable[[float], float], seed: int) -> None:
    gaps = gaps_s(schedule(Gamma(rate_per_s=40, cv=cv), 500, seed))
    assert ks_distance(gaps, cdf) < ks_limit(len(gaps))


@pytest.mark.parametrize("cv", [0.2, 0.5, 1.0, 2.0, 4.0])
def test_gamma_has_the_rate_and_the_cv_it_was_asked_for(cv: float) -> None:
    gaps = gaps_s(schedule(Gamma(rate_per_s=100, cv=cv), 2000, 11))
    assert float(gaps.std() / gaps.mean()) == pytest.approx(cv, rel=0.03)
    assert float(1 / gaps.mean()) == pytest.approx(100, rel=4 * cv / math.sqrt(len(gaps)))


@pytest.mark.parametrize(
    "spec", [Poisson(rate_per_s=20), Gamma(rate_per_s=20, cv=5), Mmpp(rate_per_s=20, on_s=0.5, off_s=1.5)]
)
def test_the_first_seconds_have_the_rate_of_all(spec: Arrivals) -> None:
    runs = 2000
    counts = np.array([len(schedule(spec, 1, seed)) for seed in range(runs)])
    # 4 standard errors; a renewal process that began with an arrival would have 12 more at cv 5 in the long run.
    assert float(counts.mean()) == pytest.approx(20, abs=4 * float(counts.std()) / math.sqrt(runs))


@pytest.mark.parametrize("quiet_ratio", [0.0, 0.5, 1.0])
def test_mmpp_has_its_rate_in_the_long_run(quiet_ratio: float) -> None:
    spec = Mmpp(rate_per_s=50, on_s=0.2, off_s=0.8, quiet_ratio=quiet_ratio)
    assert len(schedule(spec, 4000, 3)) / 4000 == pytest.approx(50, rel=0.06)


def test_mmpp_alternates_between_its_two_rates() -> None:
    spec = Mmpp(rate_per_s=100, on_s=20, off_s=20, quiet_ratio=0.1)
    assert spec.rates_per_s == (190, 10)
    seconds = np.bincount(schedule(spec, 4000, 5) // NS, minlength=4000)
    quiet, busy = seconds[seconds < 40], seconds[seconds > 130]
    assert len(quiet) + len(busy) > 3700  # the rest hold a switch
    assert float(quiet.mean()) == pytest.approx(10, rel=0.05)
    assert float(busy.mean()) == pytest.approx(190, rel=0.05)
    assert len(busy) / 4000 == pytest.approx(0.5, abs=0.15)


def test_mmpp_without_quiet_arrivals_is_silent_in_its_pauses() -> None:
    gaps = gaps_s(schedule(Mmpp(rate_per_s=100, on_s=2, off_s=2), 2000, 1))
    pauses = gaps[gaps > 0.1]  # at 200 requests/s a gap of 0.1 s within a burst comes once in 500 million
    assert float(pauses.mean()) == pytest.approx(2, rel=0.15)


def test_mmpp_whose_states_are_alike_is_poisson() -> None:
    gaps = gaps_s(schedule(Mmpp(rate_per_s=40, quiet_ratio=1.0), 500, 2))
    assert ks_distance(gaps, lambda x: 1 - math.exp(-40 * x)) < ks_limit(len(gaps))


@pytest.mark.parametrize("seed", range(5))
def test_a_ramp_is_poisson_at_the_rate_of_each_moment(seed: int) -> None:
    spec = Ramp(points=((0.0, 0.0), (100.0, 200.0), (150.0, 20.0)))
    offsets = schedule(spec, 200, seed) / NS

    def expected_until(t: float) -> float:
        if t < 100:
            return t * t
        if t < 150:
            return 10_000 + 200 * (t - 100) - 1.8 * (t - 100) ** 2
        return 15_500 + 20 * (t - 150)  # the last rate holds on

    assert len(offsets) == pytest.approx(16_500, abs=4 * math.sqrt(16_500))
    # Given their number, the arrivals of such a process are independent draws from its intensity.
    assert ks_distance(offsets, lambda t: expected_until(t) / 16_500) < ks_limit(len(offsets))


def test_a_ramp_at_rate_zero_sends_nothing() -> None:
    offsets = schedule(Ramp(points=((0.0, 0.0), (10.0, 0.0), (11.0, 100.0))), 20, 0)
    assert int(offsets[0]) > 10 * NS
    assert len(schedule(Ramp(points=((0.0, 50.0), (10.0, 0.0))), 1000, 0)) < 400


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_a_replay_keeps_order_and_gaps_at_its_speed(speed: float) -> None:
    rows = load_trace(AZURE).rows
    offsets = schedule(Replay(file=AZURE, speed=speed), 10_000, 0)
    assert offsets.tolist() == [round(row.at_ns / speed) for row in rows]


def test_a_replay_ends_with_the_run() -> None:
    rows = load_trace(AZURE).rows
    offsets = schedule(Replay(file=AZURE, speed=2), 10, 0)
    assert len(offsets) == sum(row.at_ns < 20 * NS for row in rows)
    assert 0 < len(offsets) < len(rows)


@pytest.mark.parametrize(
    ("text", "rate", "expected"),
    [
        ("constant", 5, Constant(rate_per_s=5)),
        ("poisson", 5, Poisson(rate_per_s=5)),
        ("gamma", 5, Gamma(rate_per_s=5, cv=2)),
        ("gamma:cv=3.5", 50, Gamma(rate_per_s=50, cv=3.5)),
        ("mmpp:on=500ms,off=1m,quiet=0.25", 5, Mmpp(rate_per_s=5, on_s=0.5, off_s=60, quiet_ratio=0.25)),
        ("ramp:0s=10,30s=100,1m=50", None, Ramp(points=((0, 10), (30, 100), (60, 50)))),
        ("trace:file=a=b.csv,speed=2", None, Replay(file="a=b.csv", speed=2)),
    ],
)
def test_arrivals_are_read_from_text(text: str, rate: float | None, expected: Arrivals) -> None:
    assert parse_arrivals(text, rate) == expected


@pytest.mark.parametrize(
    ("text", "rate", "message"),
    [
        ("gama", 5, "arrivals `gama`: expected one of constant, poisson, gamma, mmpp, trace, ramp"),
        ("poisson", None, "need a rate"),
        ("poisson", 0, "rate is 0: it must be above 0 and finite"),
        ("poisson", math.inf, "rate is inf"),
        ("poisson", math.nan, "rate is nan"),
        ("poisson:cv=2", 5, "`cv` is not one of its options \\(it has none\\)"),
        ("gamma:cv=two", 5, "`two` is not a number"),
        ("gamma:cv=-1", 5, "cv is -1: it must be above 0"),
        ("gamma:cv=1000", 5, "cv is 1000: it must be at most 100"),
        ("gamma:", 5, None),
        ("mmpp:quiet=2", 5, "quiet is 2: it must be between 0 and 1"),
        ("mmpp:on=1d", 5, "`1d` is not a number of ms, s, m or h"),
        ("mmpp:on=0s", 5, "on is 0: it must be above 0"),
        ("ramp", None, "needs points"),
        ("ramp:1s=5", None, "the first at 0s"),
        ("ramp:0s=5,0s=6", None, "times of a ramp must ascend"),
        ("ramp:0s=5,nans=6", None, "times of a ramp must be finite"),
        ("ramp:0s=-5", None, "rates of a ramp must be 0 or more"),
        ("ramp:0s=0,9s=0", None, "a ramp needs a rate above 0"),
        ("ramp:0s=5", 5, "have their own rate"),
        ("trace", None, "need file=PATH"),
        ("trace:file=x,speed=0", None, "speed is 0"),
        ("trace:file=x,sped=2", None, "`sped` is not one of its options \\(file, speed\\)"),
    ],
)
def test_wrong_arrivals_are_refused_with_what_is_wrong(text: str, rate: float | None, message: str | None) -> None:
    if message is None:  # an empty list of options is no mistake
        assert parse_arrivals(text, rate) == Gamma(rate_per_s=5)
        return
    with pytest.raises(ValueError, match=message):
        parse_arrivals(text, rate)


@pytest.mark.parametrize("duration_s", [0, -1, math.inf, math.nan])
def test_a_run_without_an_end_or_a_length_is_refused(duration_s: float) -> None:
    with pytest.raises(ValueError, match="duration"):
        schedule(Poisson(rate_per_s=1), duration_s, 0)


def test_a_schedule_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ValueError, match=f"at most {MAX_ARRIVALS}"):
        schedule(Constant(rate_per_s=1e6), 3600, 0)
    with pytest.raises(ValueError, match=f"at most {MAX_ARRIVALS}"):
        schedule(Ramp(points=((0, 1), (1, 1e6))), 3600, 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed is -1"):
        schedule(Poisson(rate_per_s=1), 1, -1)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Poisson(rate_per_s=5), Poisson(rate_per_s=10)),
        (Gamma(rate_per_s=5, cv=3), Gamma(rate_per_s=10, cv=3)),
        (Ramp(points=((0, 10), (10, 30))), Ramp(points=((0, 5), (10, 15)))),
        (Ramp(points=((0, 4),)), Ramp(points=((0, 10),))),
    ],
)
def test_another_rate_keeps_the_shape(spec: Arrivals, expected: Arrivals) -> None:
    assert with_rate(spec, 10) == expected


def test_another_rate_of_a_trace_is_another_speed() -> None:
    faster = with_rate(Replay(file=AZURE), 40)
    offsets = schedule(faster, 1000, 0)
    assert len(offsets) == 200
    assert 200 / (int(offsets[-1]) / NS) == pytest.approx(40)
