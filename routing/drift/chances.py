"""Tail probabilities of the chi-squared and Student's t distribution, for any degrees of freedom above 0.

Series and continued fractions of the incomplete gamma and beta functions (Numerical Recipes, 3rd edition, 6.2 and 6.4),
which give some twelve digits: far more than the tests need, without a library of 100 MB in every gateway.
"""

from __future__ import annotations

import math
from typing import Final

_TINY: Final = 1e-300
_ENOUGH: Final = 1e-15
_MOST_TERMS: Final = 10_000


def chi2_above(value: float, degrees: float) -> float:
    """The probability that a chi-squared variable is above `value`."""
    if value <= 0.0:
        return 1.0
    a, x = degrees / 2, value / 2
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        for step in range(1, _MOST_TERMS):
            term *= x / (a + step)
            total += term
            if term < total * _ENOUGH:
                break
        return max(0.0, 1.0 - total * scale)
    b = x + 1.0 - a
    c, d = 1.0 / _TINY, 1.0 / b
    h = d
    for step in range(1, _MOST_TERMS):
        an = -step * (step - a)
        b += 2.0
        d = 1.0 / _away_from_0(an * d + b)
        c = _away_from_0(b + an / c)
        h *= d * c
        if abs(d * c - 1.0) < _ENOUGH:
            break
    return scale * h


def t_beyond(value: float, degrees: float) -> float:
    """The probability that Student's t is farther from 0 than `value`, on either side."""
    return _beta_below(degrees / (degrees + value * value), degrees / 2, 0.5)


def _beta_below(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    scale = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return scale * _beta_fraction(x, a, b) / a
    return 1.0 - scale * _beta_fraction(1.0 - x, b, a) / b


def _beta_fraction(x: float, a: float, b: float) -> float:
    c = 1.0
    d = 1.0 / _away_from_0(1.0 - (a + b) * x / (a + 1.0))
    h = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        moved = 1.0
        for numerator in [even, odd]:
            d = 1.0 / _away_from_0(1.0 + numerator * d)
            c = _away_from_0(1.0 + numerator / c)
            moved = d * c
            h *= moved
        if abs(moved - 1.0) < _ENOUGH:
            break
    return h


def _away_from_0(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
