"""Buckets are the same for everybody, histograms add up, and what they say of values is within a bucket's width."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.drift.histogram import BUCKETS_PER_OCTAVE, FARTHEST, NOTHING, Histogram, bucket_of, merged, middle_log

WIDTH = 2 ** (1 / BUCKETS_PER_OCTAVE)
values = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=60)


def histogram_of(some: list[float]) -> Histogram:
    found = Histogram()
    for value in some:
        found.add(bucket_of(value))
    return found


@settings(deadline=None, max_examples=50)
@given(st.floats(1e-9, 1e9))
def test_a_bucket_holds_what_lies_within_its_bounds(value: float) -> None:
    bucket = bucket_of(value)
    assert 2 ** (bucket / BUCKETS_PER_OCTAVE) <= value * (1 + 1e-12)
    assert value <= 2 ** ((bucket + 1) / BUCKETS_PER_OCTAVE) * (1 + 1e-12)
    assert abs(middle_log(bucket) - math.log(value)) <= math.log(WIDTH) / 2 + 1e-9


def test_what_is_not_above_0_has_a_bucket_of_its_own_and_the_ends_take_what_is_beyond() -> None:
    assert [NOTHING] * 3 == [bucket_of(0.0), bucket_of(-1.0), bucket_of(math.nan)]
    assert (FARTHEST, -FARTHEST) == (bucket_of(1e300), bucket_of(1e-300))


@settings(deadline=None, max_examples=50)
@given(values, values)
def test_those_of_two_gateways_add_up_to_that_of_one(one: list[float], other: list[float]) -> None:
    together = merged([histogram_of(one), histogram_of(other)])
    assert histogram_of([*one, *other]).weights == together.weights


@settings(deadline=None, max_examples=50)
@given(values)
def test_moments_and_quantiles_are_within_a_bucket_of_the_values(some: list[float]) -> None:
    known = histogram_of(some)
    logs = [math.log(value) for value in some]
    mean = math.fsum(logs) / len(logs)
    sd = math.sqrt(math.fsum([(one - mean) ** 2 for one in logs]) / len(logs))
    assert pytest.approx(mean, abs=math.log(WIDTH)) == known.mean_log
    assert pytest.approx(sd, abs=math.log(WIDTH)) == known.sd_log
    true = sorted(some)[math.ceil(0.5 * len(some)) - 1]
    assert true / WIDTH * (1 - 1e-9) <= known.quantile(0.5) <= true * WIDTH * (1 + 1e-9)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.integers(-40, 40), st.integers(1, 30), min_size=1), st.integers(2, 10))
def test_bins_hold_all_of_it_in_order(weights: dict[int, int], bins: int) -> None:
    known = Histogram({bucket: float(weight) for bucket, weight in weights.items()})
    cuts = known.cuts(bins)
    assert cuts == sorted(set(cuts))
    assert len(cuts) < bins
    counts = known.binned(cuts)
    assert known.total == math.fsum(counts)
    assert all(counts)


def test_bins_of_many_buckets_are_deciles() -> None:
    known = Histogram(dict.fromkeys(range(100), 1.0))
    assert [10.0] * 10 == known.binned(known.cuts(10))


def test_nothing_has_no_moments() -> None:
    nothing = Histogram()
    assert (0.0, 0.0, 0.0, 0.0, []) == (
        nothing.total,
        nothing.mean_log,
        nothing.sd_log,
        nothing.quantile(0.5),
        nothing.cuts(10),
    )
    assert Histogram({NOTHING: 3.0, 0: 1.0}).quantile(0.5) == 0.0
