"""By how much the load rises within a start-up time, of late: what has to be there before it is needed.

A replica that is asked for now serves in a start-up time. Whatever comes until then meets those that there are, so they
have to be enough for as much more as comes within that time: nothing where traffic is steady, several times the load
where it comes in bursts. It is read off the last half hour: the least reserve that all but a part of the requests
would have found enough, had there always been the load of a start-up time before and that reserve.
"""

from __future__ import annotations

from collections import deque
from typing import Final

SAMPLE_S: Final = 10.0
KEPT: Final = 180
LEAST_SAMPLES: Final = 6


class Rises:
    """Samples of a load, one every `SAMPLE_S`."""

    __slots__ = ("_known", "_known_of", "_next_s", "_samples")

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=KEPT)
        self._next_s = 0.0
        self._known = 0.0
        self._known_of = -1.0, -1.0

    def due(self, now: float) -> bool:
        """Whether it is time for a sample."""
        return now >= self._next_s

    def add(self, load: float, now: float) -> None:
        """The load of this moment."""
        self._samples.append(load)
        self._next_s = now + SAMPLE_S
        self._known_of = -1.0, -1.0

    @property
    def peak(self) -> float:
        """The most there was."""
        return max(self._samples, default=0.0)

    def reserve(self, within_s: float, late: float) -> float:
        """What would have been enough for rises within so many seconds, but for the part `late` of the requests."""
        if self._known_of == (within_s, late):
            return self._known
        samples = list(self._samples)
        steps = max(1, min(KEPT // 2, round(within_s / SAMPLE_S)))
        pairs = sorted([(samples[at] - samples[at - steps], samples[at]) for at in range(steps, len(samples))])
        found = 0.0
        if len(pairs) >= LEAST_SAMPLES:
            left = late * sum([load for _, load in pairs])
            while pairs and pairs[-1][0] > 0.0:
                rise, load = pairs.pop()
                left -= load
                if left < 0.0:
                    found = rise
                    break
        self._known, self._known_of = found, (within_s, late)
        return found
