"""A mean that forgets with time: each sample's weight decays by e every `decay_s` seconds.

After linkerd's `ewma` (`add(value, ts)`: time is an argument), with one change. There, a sample's weight is the time
since the last one, so of several samples at the same instant only the first counts. Here past weight is kept beside the
mean, so every sample counts as it weighs, and the seed is forgotten as soon as there is something better.
"""

from __future__ import annotations

import math


class Ewma:
    """A decaying weighted mean."""

    __slots__ = ("_at_s", "_decay_s", "_weight", "value")

    def __init__(self, seed: float, decay_s: float, seed_weight: float = 1.0) -> None:
        """`seed` is the value before any sample, and weighs as much as a sample of `seed_weight`."""
        self.value = seed
        self._decay_s = decay_s
        self._weight = seed_weight
        self._at_s: float | None = None

    def add(self, value: float, now: float, weight: float = 1.0) -> None:
        """Take in a sample made at `now`. An earlier `now` than the last is taken as the last. `weight` > 0."""
        if self._at_s is None:
            self._at_s = now
        elif now > self._at_s:
            self._weight *= math.exp((self._at_s - now) / self._decay_s)
            self._at_s = now
        self._weight += weight
        self.value += (value - self.value) * (weight / self._weight)

    def weight_at(self, now: float) -> float:
        """What all samples together weigh by then."""
        if self._at_s is None or now <= self._at_s:
            return self._weight
        return self._weight * math.exp((self._at_s - now) / self._decay_s)
