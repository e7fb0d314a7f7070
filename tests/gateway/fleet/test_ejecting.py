"""A worker has outliers stand aside, says so, and lets them in again."""

from __future__ import annotations

import dataclasses
import random

import structlog

from gateway.fleet.ejecting import Ejecting
from gateway.fleet.steps import at_once
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.ejections import EJECTIONS
from routing.failing.breaker import Verdict
from routing.failing.ejection import EjectionSettings
from routing.replicas.replica import ReplicaState
from tests.routing.fleets import route_of


def worked(state: ReplicaState, good: int, bad: int) -> None:
    rng = random.Random(1)
    for verdict, times in ((Verdict.SUCCESS, good), (Verdict.FAILURE, bad)):
        for _ in range(times):
            state.breaker.record(state.breaker.admit(10.0), verdict, 10.0, rng)


def figures(metrics: Metrics) -> dict[str, float]:
    counters, gauges = metrics.others()
    return {"/".join((one.name, *one.labels)): one.value for one in (*counters, *gauges) if "eject" in one.name}


def test_an_outlier_is_ejected_counted_logged_and_readmitted() -> None:
    route = dataclasses.replace(route_of(3), ejection=EjectionSettings())
    bad, *others = [endpoint.state for endpoint in route.endpoints()]
    worked(bad, 30, 25)
    for state in others:
        worked(state, 50, 0)
    metrics = Metrics(["m"])
    ejecting = Ejecting(metrics, lambda: [route])
    with structlog.testing.capture_logs() as lines:
        at_once(ejecting.steps(11.0))
        at_once(ejecting.steps(12.0))
    assert lines == [
        {
            "event": "replica_ejected",
            "log_level": "warning",
            "engine": "t0",
            "replica": "0",
            "reason": "failing",
            "why": "25 of 55 failed, of its peers' 0 of 100",
            "for_s": 30.0,
        }
    ]
    assert not bad.available(12.0)
    assert figures(metrics) == {"penstock_ejections_total/t0/0/failing": 1.0, "penstock_replica_ejected/t0/0": 1.0}
    with structlog.testing.capture_logs() as lines:
        at_once(ejecting.steps(41.5))
    assert [line["event"] for line in lines] == ["replica_readmitted"]
    assert bad.available(41.5)
    assert bad.returned_s == 41.5
    assert figures(metrics) == {"penstock_ejections_total/t0/0/failing": 1.0}


def test_where_no_model_asks_for_it_nothing_happens() -> None:
    route = route_of(3)
    bad, *others = [endpoint.state for endpoint in route.endpoints()]
    worked(bad, 30, 25)
    for state in others:
        worked(state, 50, 0)
    at_once(Ejecting(Metrics(["m"]), lambda: [route]).steps(11.0))
    assert bad.available(11.0)


def test_of_a_replica_that_has_left_nothing_is_shown_any_more() -> None:
    metrics = Metrics(["m"])
    route = dataclasses.replace(route_of(3), ejection=EjectionSettings())
    ejecting = Ejecting(metrics, lambda: [route])
    bad, *others = [endpoint.state for endpoint in route.endpoints()]
    worked(bad, 30, 25)
    for state in others:
        worked(state, 50, 0)
    at_once(ejecting.steps(11.0))
    metrics.count(EJECTIONS, "t0", "00", "failing")
    ejecting.left(("t0", "1"))
    assert len(figures(metrics)) == 3
    ejecting.left(bad.key)
    assert figures(metrics) == {"penstock_ejections_total/t0/00/failing": 1.0}
    with structlog.testing.capture_logs() as lines:
        at_once(ejecting.steps(41.5))
    assert lines == []
