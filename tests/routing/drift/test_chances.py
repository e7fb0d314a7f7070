"""Tails of chi-squared and Student's t are their closed forms, and elsewhere what tables print."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.drift.chances import chi2_above, t_beyond


@pytest.mark.parametrize(
    ("value", "degrees", "chance"),
    [
        (3.841458820694124, 1, 0.05),
        (18.307038053275146, 10, 0.05),
        (23.209251158954356, 10, 0.01),
        (135.80672317102676, 100, 0.01),
        (0.0, 3, 1.0),
        (-1.0, 3, 1.0),
    ],
)
def test_chi_squared_is_that_of_the_tables(value: float, degrees: float, chance: float) -> None:
    assert pytest.approx(chance, rel=1e-10) == chi2_above(value, degrees)


@settings(deadline=None, max_examples=50)
@given(st.floats(1e-3, 200.0))
def test_chi_squared_of_2_degrees_is_an_exponential_and_of_4_has_one_term_more(value: float) -> None:
    half = value / 2
    assert pytest.approx(math.exp(-half), rel=1e-9, abs=1e-14) == chi2_above(value, 2.0)
    assert pytest.approx(math.exp(-half) * (1 + half), rel=1e-9, abs=1e-14) == chi2_above(value, 4.0)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.1, 60.0), st.floats(0.3, 60.0))
def test_chi_squared_of_any_degrees_obeys_its_recurrence(value: float, degrees: float) -> None:
    half = value / 2
    step = math.exp(degrees / 2 * math.log(half) - half - math.lgamma(degrees / 2 + 1))
    assert pytest.approx(chi2_above(value, degrees) + step, rel=1e-9, abs=1e-13) == chi2_above(value, degrees + 2)


@settings(deadline=None, max_examples=50)
@given(st.floats(1e-3, 1e3))
def test_t_of_1_and_2_degrees_have_closed_forms(value: float) -> None:
    assert pytest.approx(1 - 2 / math.pi * math.atan(value), rel=1e-8, abs=1e-12) == t_beyond(value, 1.0)
    assert pytest.approx(1 - value / math.sqrt(2 + value * value), rel=1e-8, abs=1e-9) == t_beyond(value, 2.0)
    assert t_beyond(value, 7.5) == t_beyond(-value, 7.5)


@pytest.mark.parametrize(
    ("value", "degrees", "chance"),
    [(0.0, 167, 1.0), (2.228138852, 10, 0.05), (3.169272667, 10, 0.01), (1.96, 1e7, 0.04999579)],
)
def test_t_is_that_of_the_tables(value: float, degrees: float, chance: float) -> None:
    assert pytest.approx(chance, rel=1e-6) == t_beyond(value, degrees)
