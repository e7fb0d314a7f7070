"""What a release is held to: a metric, which way is worse, how much worse is tolerated, and how sure one must be."""

from __future__ import annotations

import dataclasses
from typing import Final

from routing.gate.observation import ATTEMPT_FAILED, ERROR, LENGTH_STOP, REFUSED

RATES: Final = {
    "errors": ERROR,
    "attempt_failures": ATTEMPT_FAILED,
    "refusals": REFUSED,
    "length_stops": LENGTH_STOP,
}
"""Metrics of which a request has an event or not, and the flag that says so."""
AMOUNTS: Final = ("ttft", "tpot", "duration", "cost")
"""Metrics of which a request has an amount, in milliseconds and US dollars. All but the cost hang on the load of its
replica."""


@dataclasses.dataclass(frozen=True, slots=True)
class Guardrail:
    """One metric that a release is held to."""

    metric: str
    """A name of `RATES` or `AMOUNTS`; any other is a custom metric, told of as `observation.Measured`."""
    alpha: float = 0.01
    """The chance that this guardrail rolls back a release that is no worse, or promotes one that is as bad as the
    margin."""
    tolerance: float = 1.1
    """So many times as many bad events as the control's are no reason to roll back."""
    margin: float = 1.5
    """A release is promoted once it is sure to have fewer than so many times the control's."""
    ceiling: float | None = 0.01
    """Or once fewer than this part of its units are sure to have one, however few the control has; None: never so. Of
    rates only."""
    slo: float | None = None
    """What an amount is held to where the control has not been seen enough to say what is usual; None: to nothing."""
    is_rate: bool = True
    """Whether a custom metric is a yes or no (value 1 or 0)."""
    lower_is_better: bool = True
    """Of a custom metric."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not 0.0 < self.alpha < 1.0:
            raise ValueError("`alpha` is a probability")
        if not 1.0 <= self.tolerance < self.margin:
            raise ValueError("`tolerance` is at least 1 and below `margin`: what is promoted must not be rolled back")
        if self.ceiling is not None and not 0.0 < self.ceiling < 1.0:
            raise ValueError("`ceiling` is a part of units")

    @property
    def rate(self) -> bool:
        """Whether it counts events; if not, it compares amounts."""
        return self.metric in RATES or (self.metric not in AMOUNTS and self.is_rate)

    @property
    def custom(self) -> bool:
        """Whether it is not known of a request when it ends."""
        return self.metric not in RATES and self.metric not in AMOUNTS

    @property
    def hangs_on_load(self) -> bool:
        """Whether an arm is worse only because its replicas have more to do."""
        return self.metric in AMOUNTS and self.metric != "cost"

    def worse(self, value: float) -> float:
        """A custom value, as one of which more is worse."""
        if self.is_rate:
            return value if self.lower_is_better else 1.0 - value
        return value if self.lower_is_better else -value
