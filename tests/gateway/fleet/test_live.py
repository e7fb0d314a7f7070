"""A fleet that lives through differences is the fleet that would have been built from scratch, and loses nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engines.port import Engine
from gateway import clock
from gateway.fleet.members import Member
from gateway.fleet.snapshot import UNNAMED
from gateway.fleet.steps import at_once
from gateway.workers.exchange.messages import LoadReport
from routing.failing.breaker import Verdict
from routing.replicas.replica import NO_SLOT, SEED_CACHE_BLOCKS, ReplicaState
from routing.route import Tiers
from tests.gateway.fleet.fleets import Fleets

pytestmark = pytest.mark.anyio

WRITTEN = ("w0", "w1")
TOLD = ("t0", "t1")
IDS = ("a", "b", "c")


def document(engines: dict[str, dict[str, Any]], models: dict[str, dict[str, Any]], **more: Any) -> str:
    return json.dumps({"engines": engines, "models": models, **more})


def written(*ids: str, **more: Any) -> dict[str, Any]:
    return {"kind": "vllm", "replicas": [{"id": id, "url": f"http://{id}.test:8000"} for id in ids], **more}


def told(**more: Any) -> dict[str, Any]:
    return {"kind": "vllm", "launch": {"model": "x"}, **more}


def seen(fleets: Fleets) -> dict[str, Any]:
    """Everything that decides about a request, as plain values."""

    def pools(tiers: Tiers) -> list[Any]:
        assert [len(pool) for pool in tiers.pools] == [len(picker._pool) for picker in tiers.pickers]  # type: ignore[attr-defined]
        return [
            [(e.engine, e.replica, e.model, e.tier, e.weight, e.state.healthy, e.state.draining) for e in pool]
            for pool in tiers.pools
        ]

    live, snapshot = fleets.live, fleets.snapshot
    models = {}
    for (name, arm), serving in snapshot.serving.items():
        route = serving.route
        assert snapshot.fleet.models[name] is route
        upstreams = [serving.upstreams[endpoint] for endpoint in route.endpoints()]
        models[name, arm] = {
            "policy": route.policy,
            "retry": route.retry,
            "whole": pools(route.whole),
            "speakers": {operation: pools(tiers) for operation, tiers in route.speakers.items()},
            "states": all(e.state is live.table.find((e.engine, e.replica)) for e in route.endpoints()),
            "upstreams": [
                (u.deadlines, u.rates and u.rates.tables, u.meter is not None, u.series.key, u.headers)
                for u in upstreams
            ],
            "engines": all(u.engine is live._engines[u.endpoint.engine].engine for u in upstreams),
        }
    return {
        "models": models,
        "engines": {
            name: (built.engine.settings, built.replicas, set(built.engine.replicas) == set(built.replicas.values()))
            for name, built in live._engines.items()
        },
        "states": {
            state.key: (state.healthy, state.draining, state.breaker._settings.min_failures) for state in live.table
        },
        "connections": sorted((key[:3], users) for key, users in live.pools._users.values()),
        "forgotten": live.meters._meters.keys() <= {state.key for state in live.table},
        "metrics": fleets.metrics.models,
        "limits": snapshot.limits,
        "digest": snapshot.digest,
    }


@st.composite
def configurations(draw: st.DrawFn) -> str:
    engines: dict[str, dict[str, Any]] = {}
    changing: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [{}, {"api_key": "sk-1"}, {"timeouts": {"idle_s": 7}}, {"gpu_usd_per_hour": 2}, {"connections": 5}]
    )
    for name in draw(st.lists(st.sampled_from(WRITTEN), unique=True)):
        ids = draw(st.lists(st.sampled_from(IDS), unique=True, min_size=1))
        engines[name] = written(*(f"{name}-{id}" for id in ids), **draw(changing))
    for name in draw(st.lists(st.sampled_from(TOLD), unique=True)):
        engines[name] = told(**draw(changing))
    engines["hosted"] = {"kind": "openai", "base_url": "http://hosted.test/v1", "operations": ["chat", "embeddings"]}
    models = {}
    for name in draw(st.lists(st.sampled_from(["m0", "m1", "m2"]), unique=True, min_size=1)):
        chosen = draw(st.lists(st.sampled_from(sorted(engines)), unique=True, min_size=1, max_size=3))
        models[name] = {
            "targets": [
                {"engine": engine, "tier": draw(st.integers(0, 2)), "weight": draw(st.sampled_from([1, 2]))}
                for engine in chosen
            ],
            "policy": {"name": draw(st.sampled_from(["least_load", "round_robin"]))},
        }
    return document(engines, models, breaker={"min_failures": draw(st.integers(1, 2))})


def members() -> st.SearchStrategy[Member]:
    facts = {"healthy": st.booleans(), "draining": st.booleans()}
    of_written = st.builds(
        lambda engine, id, healthy, draining: Member(engine, f"{engine}-{id}", "", healthy, draining),
        st.sampled_from(WRITTEN),
        st.sampled_from(IDS),
        **facts,
    )
    of_told = st.builds(
        lambda engine, id, port, gone, healthy, draining: (
            Member(engine, id, gone=True) if gone else Member(engine, id, f"http://h:{port}", healthy, draining)
        ),
        st.sampled_from(TOLD),
        st.sampled_from(IDS),
        st.integers(1, 3),
        st.booleans(),
        **facts,
    )
    return of_written | of_told


@settings(deadline=None, max_examples=20, phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink))
@given(
    first=configurations(),
    steps=st.lists(configurations() | st.lists(members(), min_size=1, max_size=5), max_size=8),
)
def test_any_sequence_of_differences_equals_a_build_from_scratch(first: str, steps: list[str | list[Member]]) -> None:
    async def play() -> None:
        fleets, text = Fleets(), first
        known: dict[tuple[str, str], Member] = {}
        all_told: list[Member] = []
        fleets.configure(text)
        for step in steps:
            if isinstance(step, str):
                text = step
                fleets.configure(text, all_told)  # of each replica the last that was said holds
            else:
                all_told += step
                for member in step:
                    if member.gone:
                        known.pop((member.engine, member.replica), None)
                    else:
                        known[member.engine, member.replica] = member
                fleets.change(*step)
            scratch = Fleets()
            scratch.configure(text, known.values())
            one, other = seen(fleets), seen(scratch)
            assert {key: one[key] for key in one if one[key] != other[key]} == {}

    asyncio.run(play())


TWO = document(
    {"w0": written("a", "b"), "t0": told()},
    {"mine": {"targets": [{"engine": "t0"}]}, "other": {"targets": [{"engine": "w0"}]}},
)


async def test_one_replica_more_leaves_every_other_object_as_it_was() -> None:
    fleets = Fleets()
    fleets.configure(TWO, [Member("t0", "t0-0", "http://h:1"), Member("t0", "t0-1", "http://h:2")])
    before = fleets.snapshot
    pools = set(fleets.live.pools._users)
    fleets.change(Member("t0", "t0-2", "http://h:3"))
    after = fleets.snapshot
    assert after.serving["other", UNNAMED] is before.serving["other", UNNAMED]
    old, new = before.serving["mine", UNNAMED].route, after.serving["mine", UNNAMED].route
    assert list(old.endpoints()) == list(new.endpoints())[:2]
    assert (new.budget, new.tokens) == (old.budget, old.tokens)
    assert pools < set(fleets.live.pools._users)
    engine = fleets.live._engines["t0"].engine
    assert [serving.upstreams[e].engine for serving in (before.serving["mine", UNNAMED],) for e in old.endpoints()] == [
        engine,
        engine,
    ]


async def test_what_nothing_changed_about_is_not_published_again() -> None:
    fleets = Fleets()
    fleets.configure(TWO, [Member("t0", "t0-0", "http://h:1")])
    fleets.change(Member("t0", "t0-0", "http://h:1", healthy=False), Member("w0", "a", draining=True))
    assert len(fleets.published) == 1
    (endpoint,) = fleets.snapshot.serving["mine", UNNAMED].route.endpoints()
    assert (endpoint.state.healthy, endpoint.state.draining) == (False, False)
    first, second = fleets.snapshot.serving["other", UNNAMED].route.endpoints()
    assert [first.state.draining, second.state.draining] == [True, False]


async def test_a_replica_that_cannot_be_built_changes_nothing() -> None:
    fleets = Fleets()
    fleets.configure(TWO, [Member("t0", "t0-0", "http://h:1"), Member("t0", "t0-1", "http://h:2")])
    before, published = seen(fleets), len(fleets.published)
    with pytest.raises(ValueError, match="URL"):
        fleets.change(
            Member("t0", "t0-0", "http://h:9"), Member("t0", "t0-5", "http://h:5"), Member("t0", "t0-6", "ftp://h")
        )
    assert len(fleets.published) == published
    assert seen(fleets) == before


async def test_a_configuration_that_fails_half_way_takes_back_what_it_added() -> None:
    fleets = Fleets()
    fleets.configure(TWO, [Member("t0", "t0-0", "http://h:1")])
    before = seen(fleets)
    more = document(
        {"w0": written("a", "c"), "w1": written("z"), "t0": told(api_key="sk-2")},
        {"new": {"targets": [{"engine": "w1"}]}, "mine": {"targets": [{"engine": "t0"}]}},
    )
    with pytest.raises(ValueError, match="URL"):
        fleets.configure(more, [Member("t0", "t0-0", "ftp://h")])
    assert seen(fleets) == before


async def test_a_replica_that_left_gets_nothing_new_and_is_forgotten_with_its_meter_when_it_is_idle() -> None:
    fleets = Fleets()
    text = document({"t0": told(gpu_usd_per_hour=2)}, {"m": {"targets": [{"engine": "t0"}]}})
    fleets.configure(text, [Member("t0", "0", "http://h:1")])
    serving = fleets.snapshot.serving["m", UNNAMED]
    (endpoint,) = serving.route.endpoints()
    meter = serving.upstreams[endpoint].meter
    assert meter is not None
    endpoint.state.charge(5, 5)
    fleets.change(Member("t0", "0", gone=True))
    assert not endpoint.state.available(0.0)
    assert (list(fleets.live.table), list(fleets.live.meters._meters)) == ([endpoint.state], [("t0", "0")])
    fleets.change(Member("t0", "0", "http://h:1"))
    (back,) = fleets.snapshot.serving["m", UNNAMED].route.endpoints()
    assert back.state is endpoint.state
    assert back.state.available(0.0)
    assert fleets.snapshot.serving["m", UNNAMED].upstreams[back].meter is meter
    fleets.change(Member("t0", "0", gone=True))
    endpoint.state.release(5, 5)
    prefixes, slot = fleets.live.table.prefixes, fleets.live.table.slot_of(endpoint.state)
    prefixes.add([1, 2, 3], slot)
    assert prefixes.match([1, 2, 3]).depth_of(slot) == 3
    fleets.live.sweep()
    assert (list(fleets.live.table), list(fleets.live.meters._meters)) == ([], [])
    assert prefixes.match([1, 2, 3]).depth_of(slot) == 0
    assert fleets.live.table.slotted == {}


@pytest.mark.parametrize("by", ["a difference", "a reload"])
async def test_of_another_server_under_the_same_id_and_url_nothing_is_known(by: str) -> None:
    fleets = Fleets()
    text = document({"e": told()}, {"m": {"targets": [{"engine": "e"}], "policy": {"name": "prefix"}}})
    one = Member("e", "a", "http://a.test:1", life="u")
    fleets.configure(text, [one, Member("e", "b", "http://b.test:1", life="u")])
    table = fleets.live.table
    old, other = table.find(("e", "a")), table.find(("e", "b"))
    assert old is not None
    old.charge(10, 10)
    while old.breaker.closed:
        now = clock.monotonic()
        old.breaker.record(old.breaker.admit(now), Verdict.FAILURE, now, random.Random(1))
    slot = table.slot_of(old)
    table.prefixes.add((1, 2), slot)
    assert [key for key, _ in fleets.live.open_breakers()] == [("e", "a")]

    fleets.change(one)
    assert table.find(("e", "a")) is old

    follows = msgspec.structs.replace(one, life="v")
    if by == "a reload":
        fleets.configure(text, [follows, Member("e", "b", "http://b.test:1", life="u")])
    else:
        fleets.change(follows)
    new = table.find(("e", "a"))
    assert new is not None
    assert new is not old
    assert table.find(("e", "b")) is other
    assert new.breaker.closed
    assert (new.in_flight_requests, fleets.live.open_breakers()) == (0, [])
    assert old.slot == NO_SLOT
    assert table.slotted["e", "a"] is new
    assert {endpoint.state for endpoint in fleets.snapshot.fleet.models["m"].endpoints()} == {new, other}
    old.release(10, 10)
    fleets.live.sweep()
    assert table.find(("e", "a")) is new


async def test_a_changed_breaker_key_keeps_what_is_in_flight_and_holds_for_every_replica() -> None:
    fleets = Fleets()
    text = document({"w0": written("a", "b")}, {"m": {"targets": [{"engine": "w0"}]}})
    fleets.configure(text)
    states = list(fleets.live.table)
    states[0].charge(10, 20)
    fleets.configure(json.dumps({**json.loads(text), "breaker": {"min_failures": 1, "window_s": 60}}))
    assert list(fleets.live.table) == states
    assert (states[0].in_flight_requests, states[0].in_flight_tokens) == (1, 30)
    assert [state.breaker._settings.min_failures for state in states] == [1, 1]


async def test_tokens_of_other_workers_are_told_by_difference() -> None:
    fleets = Fleets()
    fleets.configure(document({"w0": written("a", "b")}, {"m": {"targets": [{"engine": "w0"}]}}))
    a, b = fleets.live.table
    fleets.live.set_remote({("w0", "a"): (7, 3, 2), ("gone", "x"): (1, 1, 1)})
    assert (a.remote_tokens, b.remote_tokens) == (7, 0)
    fleets.live.set_remote({("w0", "b"): (9, 4, 1)})
    assert (a.remote_tokens, b.remote_tokens) == (0, 9)


async def test_what_engines_say_of_their_load_reaches_the_states_and_unknown_replicas_are_passed_over() -> None:
    fleets = Fleets()
    fleets.configure(document({"w0": written("a", "b")}, {"m": {"targets": [{"engine": "w0"}]}}))
    a, b = fleets.live.table
    reports = [
        LoadReport("w0", "a", 30, 10, 0.5, 16_000),
        LoadReport("w0", "b", None, None, None, None),
        LoadReport("gone", "x", 1, 1, 0.1, 1, restarted=True),
    ]
    at_once(fleets.live.take_reports(reports, 2.0))
    now = clock.monotonic()
    assert (a.reported.running(now), a.reported.waiting(now), a.reported.kv_usage(now), a.cache_tokens) == (
        30,
        10,
        0.5,
        16_000,
    )
    assert (b.reported.running(now), b.cache_tokens) == (None, 0)
    at_once(fleets.live.take_reports([LoadReport("w0", "a", 0, 0, 0.0, None)], 2.0))
    assert (a.reported.waiting(now), a.cache_tokens) == (0, 16_000)  # what was told once of its size still holds


async def test_no_list_of_all_states_is_held_while_reports_are_taken_in() -> None:
    """Each pass of the garbage collector would look through it, for milliseconds where there are 19,200."""
    fleets, count = Fleets(), 40
    engines = {f"w{number}": written("a", "b") for number in range(count)}
    fleets.configure(
        document(engines, {f"m{number}": {"targets": [{"engine": f"w{number}"}]} for number in range(count)})
    )
    for state in fleets.live.table:
        fleets.live.table.slot_of(state)

    def lists_of_states() -> int:
        several = [one for one in gc.get_objects() if type(one) in (list, tuple) and len(one) > count]
        return len([one for one in several if type(one[0]) is ReplicaState and type(one[-1]) is ReplicaState])

    gc.collect()
    before, judged = lists_of_states(), 0
    for _ in fleets.live.take_reports([LoadReport("w0", "a", 30, 10, 0.5, 16_000)], 2.0):
        assert lists_of_states() == before
        judged += 1
    assert judged >= count


async def test_a_replica_that_comes_or_leaves_while_reports_are_taken_in_is_no_hindrance() -> None:
    fleets = Fleets()
    engines = {f"w{number}": written("a", "b") for number in range(4)}
    models = {f"m{number}": {"targets": [{"engine": f"w{number}"}]} for number in range(4)}
    fleets.configure(document(engines, models))
    for state in fleets.live.table:
        fleets.live.table.slot_of(state)
    taking = fleets.live.take_reports([], 2.0)
    next(taking)
    engines |= {"w1": written("a", "new"), "w3": written("b")}
    fleets.configure(document(engines, models))
    at_once(taking)
    assert {state.key for state in fleets.live.table} >= {("w1", "new"), ("w3", "b")}


async def test_only_a_model_that_shares_prefixes_fits_the_index_to_caches() -> None:
    fleets = Fleets()
    models: dict[str, dict[str, Any]] = {
        "m": {"targets": [{"engine": "w0"}]},
        "p": {"targets": [{"engine": "w1"}], "policy": {"name": "prefix"}},
    }
    fleets.configure(document({"w0": written("a"), "w1": written("b")}, models))
    plain, shared = fleets.live.table
    reports = [LoadReport("w0", "a", 0, 0, 0.0, 640), LoadReport("w1", "b", 0, 0, 0.0, 640)]
    at_once(fleets.live.take_reports(reports, 2.0))
    assert (plain.cache_blocks, shared.cache_blocks) == (SEED_CACHE_BLOCKS, 10)  # 640 tokens of 4 bytes


async def test_what_caches_hold_counts_unasked_among_several_replicas_and_one_by_itself_pays_nothing() -> None:
    fleets = Fleets()
    hosted = {"kind": "openai", "replicas": [{"url": "http://h/v1"}, {"url": "http://i/v1"}]}
    engines = {"one": written("a"), "two": written("a", "b"), "other": written("c"), "hosted": hosted}
    policy = {"name": "round_robin"}
    models: dict[str, dict[str, Any]] = {
        "alone": {"targets": [{"engine": "one"}]},
        "several": {"targets": [{"engine": "two"}]},
        "together": {"targets": [{"engine": "one", "tier": 0}, {"engine": "other", "tier": 0}]},
        "joined": {"targets": [{"engine": "one"}, {"engine": "one", "model": "x", "tier": 0}]},  # of one replica
        "tiers": {"targets": [{"engine": "one"}, {"engine": "hosted"}]},
        "named": {"targets": [{"engine": "two"}], "policy": policy},
    }
    fleets.configure(document(engines, models))
    routes = fleets.snapshot.fleet.models
    assert {name: route.policy for name, route in routes.items()} == {
        "alone": "least_load",
        "several": "prefix",
        "together": "prefix",
        "joined": "least_load",
        "tiers": "least_load",
        "named": "round_robin",
    }
    assert {name for name, route in routes.items() if route.prefixes is not None} == {"several", "together"}


async def test_a_cache_that_holds_less_than_it_is_taken_to_is_expected_to_hold_less() -> None:
    fleets = Fleets()
    model = {"targets": [{"engine": "w0"}], "policy": {"name": "prefix"}}
    fleets.configure(document({"w0": written("a", "b")}, {"m": model}))
    wrong, right = fleets.live.table
    for state in (wrong, right):
        fleets.live.table.prefixes.add(list(range(1000)), state.slot)
    reports = [LoadReport("w0", name, 0, 0, 0.0, 64_000) for name in "ab"]
    at_once(fleets.live.take_reports(reports, 2.0))
    for _ in range(20):
        wrong.tally.take(900, 400, 1000, 0.0, 0.0)
        right.tally.take(900, 900, 1000, 0.0, 0.0)
    at_once(fleets.live.take_reports(reports, 2.0))
    assert (wrong.cache_blocks, right.cache_blocks) == (900, 1000)
    assert fleets.live.table.prefixes.held(wrong.slot) == 900


async def test_a_new_time_limit_or_price_keeps_connections_and_the_route() -> None:
    fleets = Fleets()
    fleets.configure(TWO)
    route, engine = fleets.snapshot.serving["other", UNNAMED].route, fleets.live._engines["w0"].engine
    changed = json.loads(TWO)
    changed["engines"]["w0"] |= {"timeouts": {"idle_s": 3}, "gpu_usd_per_hour": 1}
    fleets.configure(json.dumps(changed))
    serving = fleets.snapshot.serving["other", UNNAMED]
    assert serving.route is route
    upstream = serving.upstreams[next(route.endpoints())]
    assert (upstream.engine, upstream.deadlines.idle_s, upstream.meter is not None) == (engine, 3.0, True)


async def test_a_new_key_keeps_the_pools() -> None:
    fleets = Fleets()
    fleets.configure(TWO)
    pools, engine = dict(fleets.live.pools._users), fleets.live._engines["w0"].engine
    changed = json.loads(TWO)
    changed["engines"]["w0"]["api_key"] = "sk-new"
    fleets.configure(json.dumps(changed))
    assert fleets.live._engines["w0"].engine is not engine
    assert fleets.live.pools._users == pools
    assert not any(pool.closing for pool in pools)


async def test_metrics_show_a_model_before_its_first_request_under_its_own_name() -> None:
    fleets = Fleets()
    fleets.configure(TWO)
    assert [(series.model, series.engine) for series in fleets.metrics.snapshot().series] == [
        ("mine", "t0"),
        ("other", "w0"),
    ]


async def test_a_changed_file_of_authorities_is_read_again_and_only_its_engines_are_others(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authorities)
    https = {"kind": "openai", "base_url": "https://private.test/v1", "ca_file": str(authorities)}
    engines = {"private": https, "w0": written("a")}
    text = document(engines, {name: {"targets": [{"engine": name}]} for name in engines})
    fleets = Fleets()

    def used() -> list[Engine]:
        fleets.configure(text)
        found = []
        for name in engines:
            serving = fleets.snapshot.serving[name, UNNAMED]
            found += [serving.upstreams[endpoint].engine for endpoint in serving.route.endpoints()]
        return found

    private, other = used()
    assert used() == [private, other]
    trustme.CA().cert_pem.write_to_path(authorities)
    renewed, other_then = used()
    assert renewed is not private
    assert other_then is other
