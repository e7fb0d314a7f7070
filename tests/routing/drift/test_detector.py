"""The detector of changed rates keeps its promise: while nothing changes, its statistic grows by one an observation."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.drift.detector import DOWNWARDS, ENOUGH_UNITS, LEAST_UNITS, UPWARDS, Detector, Once, baseline_of


@pytest.mark.parametrize("alternatives", [UPWARDS, DOWNWARDS])
@pytest.mark.parametrize("baseline", [0.01, 0.3, 0.9])
def test_on_average_the_statistic_is_the_number_of_observations(
    baseline: float, alternatives: tuple[float, ...]
) -> None:
    """Of every course that 8 observations can take, by its probability: this is what bounds false alarms."""
    expected = 0.0
    for course in itertools.product((False, True), repeat=8):
        detector = Detector(baseline, 1e9, alternatives)
        for happened in course:
            detector.event() if happened else detector.quiet(1)
        events = sum(course)
        expected += detector.value * baseline**events * (1 - baseline) ** (8 - events)
    assert pytest.approx(8.0) == expected


@pytest.mark.parametrize("units", [1, 7, 100])
def test_of_blocks_too(units: int) -> None:
    expected = 0.0
    for events in range(units + 1):
        detector = Detector(0.2, 1e9)
        detector.block(units, events)
        expected += detector.value * math.comb(units, events) * 0.2**events * 0.8 ** (units - events)
    assert pytest.approx(units) == expected


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 300), st.floats(0.001, 0.9))
def test_quiet_observations_count_the_same_one_by_one(count: int, baseline: float) -> None:
    one, other = Detector(baseline, 1e6), Detector(baseline, 1e6)
    one.event()
    other.event()
    one.quiet(count)
    for _ in range(count):
        other.quiet(1)
    assert pytest.approx(other.value, rel=1e-9) == one.value


def test_a_rate_that_doubles_is_found_and_one_that_stays_is_not() -> None:
    rng, detector = random.Random(3), Detector(0.01, 1e5)
    for _ in range(10_000):
        detector.event() if rng.random() < 0.01 else detector.quiet(1)
        assert not detector.alarmed
    for _ in range(5_000):
        detector.event() if rng.random() < 0.02 else detector.quiet(1)
    assert detector.alarmed
    detector.restart()
    assert (0.0, False) == (detector.value, detector.alarmed)


def test_fewer_tool_calls_are_found_too() -> None:
    detector = Detector(0.4, 1e5, DOWNWARDS)
    for _ in range(5):
        detector.block(100, 40)
    assert not detector.alarmed
    for _ in range(3):
        detector.block(100, 15)
    assert detector.alarmed


def test_a_rate_near_1_has_an_alternative_and_one_out_of_range_is_refused() -> None:
    detector = Detector(0.95, 1e5)
    detector.block(400, 400)
    assert detector.alarmed
    for rate in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            Detector(rate, 1e5)


def test_a_huge_block_is_an_alarm_and_no_overflow() -> None:
    detector = Detector(0.001, 1e5)
    detector.block(1_000_000, 500_000)
    assert detector.alarmed
    detector.block(1_000_000, 0)
    detector.block(1_000_000, 1_000)
    assert math.isfinite(detector.value)


def test_a_baseline_from_few_is_its_bound_and_from_too_few_none() -> None:
    assert baseline_of(5, LEAST_UNITS - 1) is None
    assert baseline_of(300, ENOUGH_UNITS) == 0.015
    assert baseline_of(0, ENOUGH_UNITS) == 0.5 / ENOUGH_UNITS
    # Wilson's interval of 20 in 2,000 is .0065 to .0154.
    assert pytest.approx(0.0154, abs=5e-5) == baseline_of(20, 2_000)
    assert pytest.approx(0.0065, abs=5e-5) == baseline_of(20, 2_000, downwards=True)
    for events, downwards in ((0, True), (2_000, False)):
        found = baseline_of(events, 2_000, downwards=downwards)
        assert found is not None
        assert 0.0 < found < 1.0


def test_a_user_counts_once_in_a_window() -> None:
    once = Once(4)
    assert [True, False, True, False] == [once.counts(user) for user in (1, 1, 2, 2)]
    assert [True, False, True, True] == [once.counts(user) for user in (2, 2, 1, 3)]
