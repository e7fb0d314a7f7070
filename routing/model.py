"""The nouns of a choice: an endpoint that can be chosen, and the decision that chose it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from routing.replica import ReplicaKey, ReplicaState

__all__ = ["AGAIN", "LAST_RESORT", "LEAST_LOAD", "ONLY", "RANDOM", "ROUND_ROBIN", "Decision", "Endpoint", "ReplicaKey"]

# Reasons of a decision: constants, because they go into records and labels.
LEAST_LOAD: Final = "least_load"
ROUND_ROBIN: Final = "round_robin"
RANDOM: Final = "random"
ONLY: Final = "only"
"""No other endpoint of the tier could be used."""
LAST_RESORT: Final = "last_resort"
"""Nobody was available; what its probes say of this one, or its last refusal, may be wrong."""
AGAIN: Final = "again"
"""Every endpoint that could be used had been tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One replica serving one upstream model for one public model. Compared by identity, within one fleet."""

    engine: str
    replica: str
    model: str
    """The name the upstream knows the model by."""
    tier: int
    """Position among the route's tiers, from 0 without gaps."""
    weight: float
    """Relative capacity of this replica: at weight 2 it is given twice the load of one at weight 1."""
    state: ReplicaState


class Decision:
    """What was chosen and why. A plain class: a frozen dataclass costs 0.27 us more to make (0.41 against 0.14)."""

    __slots__ = ("endpoint", "reason", "tier")

    def __init__(self, endpoint: Endpoint, reason: str) -> None:
        self.endpoint = endpoint
        self.tier = endpoint.tier
        self.reason = reason

    def __repr__(self) -> str:
        return f"Decision({self.endpoint.engine}/{self.endpoint.replica}, tier={self.tier}, {self.reason})"
