"""Intervals against scipy-free oracles: known values, and coverage by simulation with a fixed seed."""

from __future__ import annotations

import numpy as np
import pytest

from loadtests.statistics.intervals import nearest_rank, percentile_ranks, wilson
from loadtests.statistics.spread import spread


@pytest.mark.parametrize(
    ("good", "total", "low", "high"),
    [(95, 100, 0.8882, 0.9785), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_gives_the_published_values(good: int, total: int, low: float, high: float) -> None:
    # The last is Newcombe 1998, table I, method 3; the others follow from the formula by hand.
    found = wilson(good, total)
    assert pytest.approx([low, high], abs=5e-5) == [found.low, found.high]


def test_of_nothing_nothing_is_known() -> None:
    found = wilson(0, 0)
    assert (None, 0.0, 1.0) == (found.ratio, found.low, found.high)


def test_percentile_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    low, high = percentile_ranks(200, 0.9)
    assert low is not None
    assert high is not None
    samples = np.sort(rng.random((2000, 200)), axis=1)
    covered = ((samples[:, low] <= 0.9) & (0.9 <= samples[:, high])).mean()
    assert covered >= 0.95


def test_a_p99_of_few_samples_has_no_upper_bound() -> None:
    assert percentile_ranks(367, 0.99)[1] is None
    assert 367 == percentile_ranks(368, 0.99)[1]


def test_percentiles_are_values_that_were_seen() -> None:
    values = np.arange(1, 101, dtype=np.float64)
    found = spread(values)
    assert found is not None
    assert [50.0, 90.0, 95.0, 99.0, 100.0] == [percentile.value_s for percentile in found.percentiles]
    assert 98 == nearest_rank(100, 0.99)


def test_exact_percentiles_do_not_depend_on_how_they_are_found() -> None:
    values = np.random.default_rng(3).lognormal(size=5000)  # many: by partition, without a sort
    found = spread(values)
    assert found is not None
    ordered = np.sort(values)
    assert [ordered[nearest_rank(5000, p.q)] for p in found.percentiles] == [p.value_s for p in found.percentiles]
    assert not found.percentiles[0].has_interval


def test_what_never_happened_has_no_spread() -> None:
    assert spread(np.array([np.nan, np.nan])) is None
