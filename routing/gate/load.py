"""Whether one arm's replicas have more to do than the other's, and what that alone does to its answers.

An arm that has fewer replicas for its share is slower by its load, not by its model: one at 1.2 times the load per
replica would be rolled back in 94 % of releases in which nothing has changed. So where the two differ by more than
`UNEVEN`, latencies are compared after what the load explains is taken out: log(x) - a - b log(in flight), fitted on the
control's requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

UNEVEN: Final = 1.2
ENOUGH: Final = 100
"""Requests of each arm, before their loads can be told apart."""
REMEMBERED: Final = 1_000
"""Requests of an arm; older ones fade."""
FIT_REQUESTS: Final = 2_000


class Load:
    """In-flight requests per replica at dispatch, of the control's requests and of the canary's, lately."""

    __slots__ = ("_canaries", "_canary_sum", "_control_sum", "_controls")

    def __init__(self) -> None:
        self._controls = 0.0
        self._control_sum = 0.0
        self._canaries = 0.0
        self._canary_sum = 0.0

    def request(self, canary: bool, in_flight: float) -> None:
        """A request was sent where so many were in flight with it."""
        if canary:
            if self._canaries >= REMEMBERED:
                self._canaries /= 2.0
                self._canary_sum /= 2.0
            self._canaries += 1.0
            self._canary_sum += in_flight
            return
        if self._controls >= REMEMBERED:
            self._controls /= 2.0
            self._control_sum /= 2.0
        self._controls += 1.0
        self._control_sum += in_flight

    @property
    def ratio(self) -> float:
        """The canary's over the control's; 1 until enough of both is known."""
        if min(self._controls, self._canaries) < ENOUGH or min(self._control_sum, self._canary_sum) <= 0.0:
            return 1.0
        return (self._canary_sum / self._canaries) / (self._control_sum / self._controls)

    @property
    def uneven(self) -> bool:
        """Whether the two differ by more than can be passed over."""
        ratio = self.ratio
        return ratio > UNEVEN or ratio < 1.0 / UNEVEN

    def state(self) -> list[Any]:
        """To go on from later (`restore`)."""
        return [[self._controls, self._canaries], [self._control_sum, self._canary_sum]]

    def restore(self, state: Sequence[Any]) -> None:
        (self._controls, self._canaries), (self._control_sum, self._canary_sum) = state


class Fit:
    """What load does to one amount: the last requests of the control, and the line through them."""

    __slots__ = ("_points", "slope")

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=FIT_REQUESTS)
        self.slope: float | None = None
        """How log(amount) grows with log(in flight); None: not known. The line's height is no matter: what is compared
        is compared with the control's own."""

    def request(self, log_amount: float, log_in_flight: float) -> None:
        """One of the control's."""
        self._points.append((log_in_flight, log_amount))

    @property
    def ready(self) -> bool:
        """Whether there are enough to fit."""
        return len(self._points) == FIT_REQUESTS

    def fit(self) -> None:
        """Take the line through what is known, if that is enough."""
        if self.ready:
            self.slope = slope(self._points)

    def state(self) -> list[Any]:
        """To go on from later (`restore`). The requests are not of it."""
        return [self.slope]

    def restore(self, state: Sequence[Any]) -> None:
        (self.slope,) = state


def slope(points: Iterable[tuple[float, float]]) -> float:
    """Of the least-squares line through points (x, y); 0 where all have one x, and never below: load speeds nothing."""
    count = x_sum = y_sum = xx_sum = xy_sum = 0.0
    for x, y in points:
        count += 1.0
        x_sum += x
        y_sum += y
        xx_sum += x * x
        xy_sum += x * y
    spread = xx_sum - x_sum * x_sum / count
    if spread <= 1e-9 * max(1.0, xx_sum):
        return 0.0
    return max(0.0, (xy_sum - x_sum * y_sum / count) / spread)
