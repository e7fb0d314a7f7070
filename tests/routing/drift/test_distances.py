"""PSI and Wasserstein's distance give the published figures, to their last digit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.drift.distances import psi, shift_sd, smoothed, wasserstein
from routing.drift.histogram import Histogram, bucket_of

EXPECTED = [0.1, 0.2, 0.4, 0.2, 0.1]
ACTUAL = [0.08, 0.15, 0.35, 0.27, 0.15]


def test_psi_is_the_published_one() -> None:
    assert pytest.approx(0.066804, abs=5e-7) == psi(EXPECTED, ACTUAL)


def test_wasserstein_is_that_of_scipys_documentation() -> None:
    assert pytest.approx(1.0) == wasserstein([1, 2, 3, 4, 5], [2, 3, 4, 5, 6])
    assert pytest.approx(5.0) == wasserstein([0, 1, 3], [5, 6, 8])
    assert pytest.approx(0.25) == wasserstein([0, 1], [0, 1], [3, 1], [2, 2])
    weighted = wasserstein([3.4, 3.9, 7.5, 7.8], [4.5, 1.4], [1.4, 0.9, 3.1, 7.2], [3.2, 3.5])
    assert pytest.approx(4.0781331438047861) == weighted


def test_two_lognormal_samples_are_as_far_apart_as_published() -> None:
    np = pytest.importorskip("numpy")
    rng = np.random.default_rng(42)
    one, other = rng.lognormal(5, 0.6, 5_000), rng.lognormal(5.15, 0.6, 5_000)
    cuts = np.quantile(one, np.arange(0.1, 1.0, 0.1))
    bins = [np.bincount(np.searchsorted(cuts, values, side="right"), minlength=10) / 5_000 for values in (one, other)]
    assert pytest.approx(0.0781, abs=5e-5) == psi(bins[0].tolist(), bins[1].tolist())
    assert pytest.approx(0.2740, abs=5e-5) == wasserstein(one.tolist(), other.tolist()) / float(one.std())
    histograms = [Histogram(), Histogram()]
    for histogram, values in zip(histograms, (one, other), strict=True):
        for value in values:
            histogram.add(bucket_of(float(value)))
    exact = wasserstein(np.log(one).tolist(), np.log(other).tolist()) / float(np.log(one).std())
    assert pytest.approx(exact, abs=0.005) == shift_sd(*histograms)
    cut = histograms[0].cuts(10)
    bucketed = psi(smoothed(histograms[0].binned(cut)), smoothed(histograms[1].binned(cut)))
    assert pytest.approx(0.0781, abs=0.008) == bucketed


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 50), min_size=2, max_size=10), st.data())
def test_a_distance_is_0_of_the_same_and_more_of_others(counts: list[int], data: st.DataObject) -> None:
    others = data.draw(st.lists(st.integers(0, 50), min_size=len(counts), max_size=len(counts)))
    one, other = smoothed(counts), smoothed(others)
    assert pytest.approx(1.0) == math.fsum(one)
    assert pytest.approx(0.0, abs=1e-12) == psi(one, one)
    assert psi(one, other) >= -1e-12
    assert pytest.approx(psi(other, one), abs=1e-9) == psi(one, other)


def test_nothing_is_no_distance_away() -> None:
    assert shift_sd(Histogram(), Histogram({3: 1.0})) == 0.0
    assert shift_sd(Histogram({3: 1.0, 9: 2.0}), Histogram()) == 0.0
