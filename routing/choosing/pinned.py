"""A route that leads to one endpoint, for a request that nobody else can answer: what it wants is kept there."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from routing.choosing.pickers import LeastLoad
from routing.model import Endpoint
from routing.route import ModelRoute, Tiers
from routing.waiting.admission import Admission, AdmissionSettings

_OPEN: Final = AdmissionSettings(enabled=False)


def pinned(route: ModelRoute, endpoint: Endpoint, operation: str) -> ModelRoute:
    """`route` for the requests of this operation that only `endpoint`, one of its own, can answer.

    It shares the budget and the estimates of the model, and stands in no line: its replica is the only one that can let
    it wait. Tiers keep their places.
    """
    pools = tuple([(endpoint,) if tier == endpoint.tier else () for tier in range(len(route.whole.pools))])
    tiers = Tiers(pools, tuple([LeastLoad(pool) for pool in pools]))
    return replace(
        route,
        whole=tiers,
        speakers={operation: tiers},
        line=Admission(_OPEN),
        overflows=False,
        refuse_late_ms=0.0,
        held=None,
        notes=route.prefixes is not None,
        filters=(),
        hedging=None,
    )
