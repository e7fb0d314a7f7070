"""Small fleets to choose from."""

from __future__ import annotations

import random

from routing.facts import RequestFacts
from routing.failing.breaker import Breaker, BreakerSettings, Verdict
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.model import Endpoint
from routing.replicas.replica_table import ReplicaTable
from routing.route import DEFAULT_RETRY, ModelRoute, RetrySettings

OPERATION = "/v1/chat/completions"
SPOKEN = frozenset({OPERATION})
FACTS = RequestFacts(OPERATION, 100, 100)


def route_of(
    *tiers: int,
    policy: str = "least_load",
    retry: RetrySettings = DEFAULT_RETRY,
    weights: tuple[float, ...] = (),
    breaker: BreakerSettings | None = None,
    peers: int = 1,
) -> ModelRoute:
    """A route with this many replicas per tier: engine `t0` has replicas `0`, `1`, ...

    With `weights`, there is one tier of one replica per weight instead. `peers` choose among them and share no index,
    this one included.
    """
    if weights:
        targets = tuple(TargetSpec(f"w{i}", "up", ("0",), SPOKEN, 0, weight) for i, weight in enumerate(weights))
    else:
        targets = tuple(
            TargetSpec(f"t{tier}", "up", tuple(str(i) for i in range(replicas)), SPOKEN, tier)
            for tier, replicas in enumerate(tiers)
        )
    table = ReplicaTable(breaker)
    table.gateways = {target.engine: peers for target in targets}
    return build_fleet([ModelSpec("m", targets, policy, retry)], table).models["m"]


def endpoints(route: ModelRoute) -> list[Endpoint]:
    return list(route.endpoints())


def trip(breaker: Breaker, now: float, rng: random.Random) -> None:
    """Fail a breaker of default settings until it opens."""
    for _ in range(5):
        breaker.record(breaker.admit(now), Verdict.FAILURE, now, rng)
    assert not breaker.closed
