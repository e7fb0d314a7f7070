"""The noun of a choice: an endpoint that can be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from routing.replicas.replica import ReplicaState

# The names of the policies, in the configuration and wherever else they are told.
LEAST_LOAD: Final = "least_load"
ROUND_ROBIN: Final = "round_robin"
WEIGHTED: Final = "weighted"
"""The same: its turns are by weight. The name that says what for."""
RANDOM: Final = "random"
LATENCY: Final = "latency"
PREFIX: Final = "prefix"
SESSION: Final = "session"
CHEAPEST: Final = "cheapest"
SLO: Final = "slo"

COSTED: Final = frozenset({LATENCY, PREFIX, SESSION, CHEAPEST, SLO})
"""Those that ask how much replicas have to do beyond what we sent them."""


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
    usd_per_input_token: float = 0.0
    usd_per_output_token: float = 0.0
    """What an engine charges; of our own engines nothing, since a GPU costs the same whether it works or not."""
    away_ms: float = 0.0
    """What it costs more because it is in another zone."""
