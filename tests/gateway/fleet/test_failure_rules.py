"""What a model asks for when its replicas fail, from the file to the route; and when a replica has come back."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.fleet.members import Member
from routing.failing.ejection import EjectionSettings
from routing.failing.hedging import HedgingSettings
from routing.route import ModelRoute
from tests.gateway.fleet.fleets import Fleets
from tests.gateway.fleet.test_live import document, told
from tests.gateway.flights import StepClock

pytestmark = pytest.mark.anyio


def route_of(model: dict[str, object], engine: dict[str, object], **more: object) -> ModelRoute:
    fleets = Fleets()
    fleets.configure(document({"a": engine}, {"m": {"targets": [{"engine": "a"}], **model}}, **more))
    return fleets.snapshot.fleet.models["m"]


def replicas(*zones: str | None) -> list[dict[str, object]]:
    return [
        {"url": f"http://h{at}.test:1", "id": str(at), **({"zone": zone} if zone else {})}
        for at, zone in enumerate(zones)
    ]


async def test_nothing_of_it_is_on_unless_it_is_asked_for() -> None:
    route = route_of({}, {"kind": "vllm", "replicas": replicas(None)})
    assert (route.hedging, route.ejection, route.continuations) == (None, None, 0)


async def test_each_section_reaches_the_route() -> None:
    model: dict[str, object] = {
        "hedging": {"enabled": True, "after_ms": 300},
        "ejection": {"enabled": True, "max_ratio": 0.3, "base_s": 10, "max_s": 99, "min_requests": 7},
        "continuation": {"enabled": True, "per_request": 2},
    }
    route = route_of(model, {"kind": "vllm", "replicas": replicas(None)})
    assert route.hedging is not None
    assert route.hedging.settings == HedgingSettings(300.0)
    assert route.ejection == EjectionSettings(max_ratio=0.3, base_s=10.0, max_s=99.0, min_requests=7)
    assert route.continuations == 2


async def test_a_replicas_own_zone_counts_before_its_engines_and_none_costs_nothing() -> None:
    policy: dict[str, object] = {"policy": {"name": "prefix", "other_zone_ms": 12}}
    engine: dict[str, object] = {"kind": "vllm", "zone": "west", "replicas": replicas("east", "west", None)}
    route = route_of(policy, engine, server={"zone": "east"})
    assert [endpoint.away_ms for endpoint in route.endpoints()] == [0.0, 12.0, 12.0]
    route = route_of(policy, {"kind": "vllm", "replicas": replicas(None, "west")}, server={"zone": "east"})
    assert [endpoint.away_ms for endpoint in route.endpoints()] == [0.0, 12.0]
    route = route_of(policy, engine)
    assert [endpoint.away_ms for endpoint in route.endpoints()] == [0.0, 0.0, 0.0]


async def test_launched_replicas_are_in_their_engines_zone() -> None:
    fleets = Fleets()
    models = {"m": {"targets": [{"engine": "a"}], "policy": {"name": "latency", "other_zone_ms": 12}}}
    text = document({"a": told(zone="west")}, models, server={"zone": "east"})
    fleets.configure(text, [Member("a", "0", "http://h:1")])
    (endpoint,) = fleets.snapshot.fleet.models["m"].endpoints()
    assert endpoint.away_ms == 12.0


async def test_those_of_the_start_are_warm_and_whoever_comes_or_comes_back_is_not(now: StepClock) -> None:
    fleets = Fleets()
    text = document({"a": told()}, {"m": {"targets": [{"engine": "a"}], "slow_start_s": 60}})
    fleets.configure(text, [Member("a", "0", "http://h:1")])
    now.now_s += 100.0
    fleets.change(Member("a", "1", "http://h:2"))
    old, new = [fleets.live.table.get(("a", id)) for id in "01"]
    assert (old.share(now.now_s, 60.0), new.share(now.now_s, 60.0)) == (1.0, 0.1)
    now.now_s += 100.0
    assert new.share(now.now_s, 60.0) == 1.0
    aways: list[dict[str, Any]] = [{"healthy": False}, {"draining": True}]
    for away in aways:
        fleets.change(Member("a", "0", "http://h:1", **away))
        now.now_s += 100.0
        fleets.change(Member("a", "0", "http://h:1"))
        assert old.share(now.now_s, 60.0) == 0.1
        now.now_s += 30.0
        fleets.change(Member("a", "0", "http://h:1"))
        assert old.share(now.now_s, 60.0) == 0.5
