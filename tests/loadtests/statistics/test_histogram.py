"""The histogram's promises, against exact arithmetic on the same samples."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.statistics.histogram import LogHistogram

DURATIONS = st.lists(st.integers(0, 10**13), min_size=1, max_size=200)


def filled(values: list[int], relative_error: float = 0.01) -> LogHistogram:
    histogram = LogHistogram(relative_error)
    for value in values:
        histogram.add(value)
    return histogram


@settings(deadline=None)
@given(DURATIONS, st.sampled_from([0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0]), st.sampled_from([0.01, 0.05, 0.001, 0.5]))
def test_a_percentile_is_within_the_stated_error_of_the_exact_one(values: list[int], q: float, error: float) -> None:
    exact = sorted(values)[max(1, math.ceil(q / 100 * len(values))) - 1]
    assert abs(filled(values, error).percentile(q) - exact) <= error * exact


@settings(deadline=None)
@given(st.lists(DURATIONS, min_size=1, max_size=5))
def test_merged_parts_equal_the_whole(parts: list[list[int]]) -> None:
    merged = LogHistogram()
    for part in parts:
        merged.merge(filled(part))
    assert filled([value for part in parts for value in part]) == merged


@settings(deadline=None)
@given(DURATIONS, DURATIONS)
def test_extend_equals_adding_one_by_one(before: list[int], values: list[int]) -> None:
    extended = filled(before)
    extended.extend(values)
    assert filled(before + values) == extended


@settings(deadline=None)
@given(DURATIONS)
def test_json_gives_back_an_equal_histogram(values: list[int]) -> None:
    histogram = filled(values)
    assert histogram == LogHistogram.from_json(json.loads(json.dumps(histogram.to_json())))


@settings(deadline=None)
@given(st.integers(0, 2**50))
def test_every_value_lies_in_its_bucket_and_buckets_do_not_overlap(value: int) -> None:
    one = filled([value, value + 1])
    buckets = list(one.buckets())
    assert any(low <= value <= high for low, high, _ in buckets)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(buckets))


def test_count_sum_min_max_and_mean_are_exact() -> None:
    histogram = filled([3, 1_000_003, 70])
    histogram.add(5_000_000, n=2)
    assert (
        histogram.count,
        histogram.sum,
        histogram.min,
        histogram.max,
        histogram.mean,
    ) == (5, 11_000_076, 3, 5_000_000, 11_000_076 / 5)


def test_the_rank_of_p99_9_of_a_thousand_is_999() -> None:
    assert filled(list(range(100)) * 10).percentile(99.9) == 99
    thousand = filled([1] * 999 + [100])
    assert (thousand.percentile(99.9), thousand.percentile(100)) == (1, 100)


def test_percentiles_answer_in_the_order_asked() -> None:
    assert filled(list(range(100))).percentiles([100, 0, 50]) == [99, 0, 49]


def test_no_values_have_no_percentile_and_no_mean() -> None:
    empty = LogHistogram()
    with pytest.raises(ValueError, match="no values"):
        empty.percentile(50)
    with pytest.raises(ValueError, match="no values"):
        _ = empty.mean
    assert (empty.count, empty.min, empty.max, list(empty.buckets())) == (0, 0, 0, [])


def test_a_negative_duration_is_refused_and_nothing_is_counted() -> None:
    histogram = LogHistogram()
    with pytest.raises(ValueError, match="negative"):
        histogram.add(-1)
    with pytest.raises(ValueError, match="negative"):
        histogram.extend([5, -1])
    assert LogHistogram() == histogram


def test_different_errors_do_not_merge() -> None:
    with pytest.raises(ValueError, match="merge"):
        filled([1]).merge(filled([1], 0.05))


def test_an_error_outside_its_range_is_refused() -> None:
    for error in (0.0, -1.0, 0.6):
        with pytest.raises(ValueError, match="relative_error"):
            LogHistogram(error)


def test_json_whose_counts_do_not_add_up_is_refused() -> None:
    data = filled([1, 2]).to_json() | {"count": 3}
    with pytest.raises(ValueError, match="add up"):
        LogHistogram.from_json(data)


def test_a_percentile_outside_0_to_100_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        filled([1]).percentile(101)
