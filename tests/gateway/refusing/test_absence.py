"""Nobody may be asked: the client hears why, and the seconds after which somebody may be."""

from __future__ import annotations

import random

import pytest

from gateway.refusing.absence import RECHECK_S, nobody
from routing.failing.breaker import BreakerSettings
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.model import Endpoint
from routing.replicas.replica_table import ReplicaTable
from tests.routing.fleets import SPOKEN, trip

NOW = 100.0


def pool(*open_s: float) -> tuple[Endpoint, ...]:
    """A replica for each number: its breaker is open for so many seconds from `NOW` on; 0 is closed."""
    table = ReplicaTable(BreakerSettings(open_s=50.0, jitter_ratio=0.0))
    ids = tuple(str(number) for number in range(len(open_s)))
    route = build_fleet([ModelSpec("m", (TargetSpec("e", "m", ids, SPOKEN, 0),))], table).models["m"]
    endpoints = tuple(route.endpoints())
    for endpoint, seconds in zip(endpoints, open_s, strict=True):
        if seconds:
            trip(endpoint.state.breaker, NOW + seconds - 50.0, random.Random(1))
    return endpoints


@pytest.mark.parametrize(
    ("pools", "header"),
    [
        ([pool(30.0, 12.2)], b"13"),
        ([pool(30.0), pool(40.0, 7.0)], b"7"),
        ([pool(-3.0)], b"1"),  # a probe is on its way
        ([], b"5"),
        ([()], b"5"),
    ],
)
def test_the_seconds_are_those_of_the_first_replica_to_be_asked_in_header_and_sentence(
    pools: list[tuple[Endpoint, ...]], header: bytes
) -> None:
    failure = nobody("m", pools, NOW)
    assert (failure.status, failure.headers()) == (503, b"retry-after: %b\r\n" % header)
    assert failure.message.endswith(f"; try again in {header.decode()} s")


def test_a_model_whose_engines_still_start_says_so() -> None:
    assert nobody("m", [()], NOW).message == "no replica of model 'm' has started yet; try again in 5 s"


def test_replicas_that_drain_have_no_time_of_their_own() -> None:
    endpoints = pool(0.0)
    endpoints[0].state.draining = True
    assert nobody("m", [endpoints], NOW).retry_after_s == RECHECK_S
