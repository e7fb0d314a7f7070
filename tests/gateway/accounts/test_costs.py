"""What a client is told of a cost is what the record says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.costs import PICO, in_digits


@pytest.mark.parametrize(
    ("cost", "digits"),
    [(0.0, b"0.000000000000"), (1e-12, b"0.000000000001"), (0.01225, b"0.012250000000"), (12.5, b"12.500000000000")],
)
def test_a_cost_is_written_to_the_picodollar(cost: float, digits: bytes) -> None:
    assert in_digits(cost) == digits


@given(st.integers(0, 10**15))
def test_the_digits_are_the_float_that_is_recorded(picodollars: int) -> None:
    cost = picodollars / PICO
    assert float(in_digits(cost)) == cost
