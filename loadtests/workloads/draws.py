"""Random numbers as a function of a key: no stream, no state between requests, so any worker can make any request.

SplitMix64 (Steele, Lea, Flood 2014) over (seed, index, what for).
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect
from itertools import accumulate
from statistics import NormalDist

import msgspec

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_QUANTILE = NormalDist().inv_cdf


def mix(value: int) -> int:
    """A 64-bit hash of a whole number; different 64-bit numbers have different ones."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def seed_of(*parts: object) -> int:
    """64 bits out of anything that prints, the same in every process."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def draw(seed: int, index: int, purpose: int) -> int:
    """64 random bits for one purpose of one request."""
    return mix(mix(seed + index * _GOLDEN) + purpose * _GOLDEN)


def uniform(bits: int) -> float:
    """In the open interval 0 to 1: both logarithm and normal quantile are finite."""
    return ((bits >> 12) + 0.5) * 2.0**-52


class Lengths(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lognormal length, rounded and clipped. `sigma` is the standard deviation of its logarithm."""

    median: int
    sigma: float = 0.0
    least: int = 1
    most: int = 100_000

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 5:
            raise ValueError(f"sigma is {self.sigma:g}: it must be between 0 and 5")
        if not 0 <= self.least <= self.median <= self.most <= 10_000_000:
            raise ValueError(f"lengths need 0 <= least <= median <= most, not {self.least}, {self.median}, {self.most}")

    def of(self, bits: int) -> int:
        """The length that 64 random bits stand for."""
        if not self.sigma:
            return self.median
        length = round(self.median * math.exp(self.sigma * _QUANTILE(uniform(bits))))
        return max(self.least, min(self.most, length))


class Weights:
    """Picks 0 to n - 1 in proportion to weights."""

    def __init__(self, weights: list[float]) -> None:
        self._sums = list(accumulate(weights))

    def of(self, bits: int) -> int:
        """The place that 64 random bits stand for."""
        return min(bisect(self._sums, uniform(bits) * self._sums[-1]), len(self._sums) - 1)


def zipf(count: int, exponent: float) -> Weights:
    """Weights 1, 1/2^s, 1/3^s ...: the k-th most popular is picked in proportion to k^-s."""
    return Weights([rank**-exponent for rank in range(1, count + 1)])
