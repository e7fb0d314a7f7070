"""Outlier ejection: its laws, and stories of replicas that are worse than their peers."""

from __future__ import annotations

import math
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.failing.breaker import Verdict
from routing.failing.ejection import MOST_PEERS, EjectionSettings, ejections
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.replicas.replica import MOST_ASIDE_S, ReplicaState
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute
from tests.routing.fleets import SPOKEN, route_of, trip
from tests.routing.story import Story, failing, flapping, slow, well

ON = EjectionSettings()
POLICIES = ["least_load", "round_robin", "random", "latency", "prefix"]
RNG = random.Random(3)


def worked(state: ReplicaState, good: int, bad: int, now: float = 0.0) -> None:
    """So many requests that went well and that failed, too spread for the breaker to open."""
    for verdict, times in ((Verdict.SUCCESS, good), (Verdict.FAILURE, bad)):
        for _ in range(times):
            state.breaker.record(state.breaker.admit(now), verdict, now, RNG)


def answered(state: ReplicaState, ttft_ms: float, times: int = 30, now: float = 0.0) -> None:
    for number in range(times):
        state.prefill.learn(500.0 + number, ttft_ms, now + number * 0.1)


# -- the laws --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(data=st.data(), max_ratio=st.floats(0.05, 0.9), tiers=st.lists(st.integers(1, 8), min_size=1, max_size=2))
def test_whatever_is_known_the_cap_holds_and_somebody_is_left(
    data: st.DataObject, max_ratio: float, tiers: list[int]
) -> None:
    table = ReplicaTable()
    settings_ = EjectionSettings(max_ratio=max_ratio, min_requests=5)
    targets = tuple(
        TargetSpec(f"t{tier}", "up", tuple(map(str, range(size))), SPOKEN, tier) for tier, size in enumerate(tiers)
    )
    first = TargetSpec("t0", "other", tuple(map(str, range(data.draw(st.integers(1, tiers[0]))))), SPOKEN)
    specs = [ModelSpec("m", targets, ejection=settings_), ModelSpec("n", (first,))]
    routes = list(build_fleet(specs, table).models.values())
    for state in table:
        kind = data.draw(st.sampled_from(["well", "well", "bad", "slow", "open", "unhealthy", "draining", "aside"]))
        worked(state, 20, 0 if kind != "bad" else 18)
        answered(state, 5000.0 if kind == "slow" else 50.0)
        if kind == "open":
            state.breaker.forget()
            trip(state.breaker, 5.0, RNG)
        state.healthy = kind != "unhealthy"
        state.draining = kind == "draining"
        if kind == "aside":
            state.stand_aside(5.0)
    pools = [pool for route in routes for pool in route.whole.pools]
    before = [sum(endpoint.state.available(6.0) for endpoint in pool) for pool in pools]
    gone = 0
    for found in ejections(routes, 6.0):
        if found is not None:
            found.state.eject(6.0, found.base_s, found.max_s)
            gone += 1
    after = [sum(endpoint.state.available(6.0) for endpoint in pool) for pool in pools]
    assert all(not had or left for had, left in zip(before, after, strict=True))
    for pool, had, left in zip(pools, before, after, strict=True):
        if left < had and pool in routes[0].whole.pools:
            assert len(pool) - left <= math.floor(max_ratio * len(pool))
    assert gone <= len(table) - 1


@pytest.mark.parametrize("max_ratio", [0.3, 0.5, 0.9])
def test_of_two_one_may_go_from_a_half_on(max_ratio: float) -> None:
    route = route_of(2)
    object.__setattr__(route, "ejection", EjectionSettings(max_ratio=max_ratio))
    bad, good = [endpoint.state for endpoint in route.endpoints()]
    worked(bad, 20, 19)
    worked(good, 40, 0)
    found = [one.state for one in ejections([route], 1.0) if one is not None]
    assert found == ([bad] if max_ratio >= 0.5 else [])


def test_where_all_are_bad_none_is_worse() -> None:
    for behaviour in (failing(0.2), slow(20.0)):
        told = Story("round_robin", *[behaviour] * 4, ejection=ON).run(120.0)
        assert told.out == []


def test_little_evidence_and_small_differences_eject_nobody() -> None:
    route = route_of(3)
    object.__setattr__(route, "ejection", ON)
    one, *others = [endpoint.state for endpoint in route.endpoints()]
    for state in others:
        worked(state, 100, 2)
        answered(state, 10.0)
    worked(one, 10, 9)  # too few
    answered(one, 45.0)  # more than four times as long, and yet nothing
    assert [found for found in ejections([route], 3.0) if found is not None] == []
    worked(one, 60, 10)  # 19 of 89: over its peers by less than the margin
    assert [found for found in ejections([route], 3.0) if found is not None] == []


def test_it_says_why() -> None:
    route = route_of(3)
    object.__setattr__(route, "ejection", ON)
    failed, late, good = [endpoint.state for endpoint in route.endpoints()]
    for state, bad, ttft_ms in ((failed, 40, 50.0), (late, 0, 900.0), (good, 0, 50.0)):
        worked(state, 60, bad)
        answered(state, ttft_ms)
    found = next(one for one in ejections([route], 3.0) if one is not None)
    assert (found.state, found.reason) == (failed, "failing")  # that is worse than to be slow
    assert found.why == "40 of 100 failed, of its peers' 0 of 120"
    found.state.eject(3.0, 30.0, 300.0)
    assert [one for one in ejections([route], 4.0) if one is not None] == []  # one of three is all that a half allows
    found = next(one for one in ejections([route], 34.0) if one is not None)
    assert (found.state, found.reason) == (late, "slow")
    assert re.fullmatch(r"\d+ ms to the first token of \d+, where its peers take \d+", found.why)


# -- what it takes -----------------------------------------------------------------------------------------------------


def work(routes: list[ModelRoute]) -> list[int]:
    """Of each step of one look, how many functions are called."""
    calls, taken = 0, []

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    steps: Iterable[object] = ejections(routes, 3.0)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for _ in steps:
            taken.append(calls)
            calls = 0
    finally:
        sys.setprofile(before)
    return taken


def test_of_a_large_tier_each_is_judged_in_a_step_of_its_own_by_some_of_its_peers() -> None:
    size = 4 * MOST_PEERS
    route = route_of(size)
    object.__setattr__(route, "ejection", ON)
    for number, endpoint in enumerate(route.endpoints()):
        answered(endpoint.state, 900.0 if number == 5 else 50.0)
    taken = work([route])
    assert len(taken) > 2 * size
    assert max(taken) < 4 * size  # a look or two at each of them
    assert sum(taken) < 3 * MOST_PEERS * size
    (found,) = [one for one in ejections([route], 3.0) if one is not None]
    assert (found.state.key, found.reason) == (("t0", "5"), "slow")


def test_whether_one_may_go_is_asked_of_one_model_in_each_step() -> None:
    table = ReplicaTable()
    target = TargetSpec("t", "up", tuple(map(str, range(4))), SPOKEN)
    specs = [ModelSpec(f"m{number}", (target,), ejection=ON if number == 0 else None) for number in range(100)]
    routes = list(build_fleet(specs, table).models.values())
    for number, state in enumerate(table):
        worked(state, 40, 0 if number else 30)
    taken = work(routes)
    assert len(taken) > 100
    assert max(taken) < 50
    assert [one.state.key for one in ejections(routes, 3.0) if one is not None] == [("t", "0")]


# -- what it does to a replica ---------------------------------------------------------------------------------------


def test_each_time_it_is_out_for_twice_as_long_unless_it_did_well_for_four_times_as_long() -> None:
    state = ReplicaTable().get(("a", "0"))
    now, times = 0.0, []
    for _ in range(6):
        times.append(state.eject(now, 30.0, 300.0))
        assert not state.available(now)
        assert state.available(state.ejected_until_s)
        now = state.ejected_until_s + 5.0
    assert times == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    assert state.eject(state.ejected_until_s + 1201.0, 30.0, 300.0) == 30.0


def test_what_was_known_against_it_is_let_go() -> None:
    state = ReplicaTable().get(("a", "0"))
    worked(state, 20, 15)
    answered(state, 2000.0, 200)
    state.eject(20.0, 30.0, 300.0)
    assert state.breaker.counted(20.0) == (0, 0)
    assert not state.prefill.known(20.0, 1)
    for number in range(20):
        state.prefill.learn(500.0, 50.0, 60.0 + number)
    assert state.prefill.ttft_ms(500.0) < 250.0


def test_an_answer_of_what_it_had_in_flight_does_not_bring_it_back_and_a_refused_key_is_another_matter() -> None:
    state = ReplicaTable().get(("a", "0"))
    state.eject(0.0, 30.0, 300.0)
    state.stand_in()
    assert not state.available(29.0)
    assert state.stand_aside(1.0)
    state.readmit(30.0)
    assert not state.available(31.0)  # its key is refused for a minute
    assert not state.stand_aside(31.0)
    state.stand_in()
    assert state.available(31.0)
    assert state.last_resort(0.0)
    assert state.aside_until_s <= MOST_ASIDE_S


# -- stories ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_a_replica_that_fails_fast_never_draws_traffic(policy: str) -> None:
    """It has nothing in flight and yet gets no more than its peers, whoever watches: the breaker alone, or both."""
    for share in (1.0, 0.4):
        for ejection in (None, ON):
            told = Story(policy, failing(share), well, well, well, ejection=ejection).run(60.0)
            assert told.share("0", 0.0, 5.0) <= 0.25 + 0.06
            assert told.share("0") <= 0.25 + 0.02


@pytest.mark.parametrize("policy", POLICIES)
def test_one_that_fails_too_little_for_its_breaker_is_out_before_long_and_longer_each_time(policy: str) -> None:
    spared = Story(policy, failing(0.4), well, well, well).run(300.0).failed["0"]
    told = Story(policy, failing(0.4), well, well, well, ejection=ON).run(300.0)
    assert {(replica, reason) for _, replica, reason, _ in told.out} == {("0", "failing")}
    times = [for_s for _, _, _, for_s in told.out]
    assert times == [30.0, 60.0, 120.0, 240.0][: len(times)]
    if policy in ("latency", "prefix"):  # to which failures are a cost: they send it little anyhow
        assert len(times) >= 1
        assert told.failed["0"] < 50
    else:
        assert len(times) >= 3
        assert told.failed["0"] < 0.6 * spared


def test_one_that_is_slow_is_out_and_comes_back_when_it_is_slow_no_more() -> None:
    recovers = lambda now, rng: (slow(20.0) if now < 100.0 else well)(now, rng)  # noqa: E731
    told = Story("round_robin", recovers, well, well, ejection=ON).run(400.0, per_s=12.0)
    assert {(replica, reason) for _, replica, reason, _ in told.out} == {("0", "slow")}
    last_s, _, _, for_s = told.out[-1]
    assert last_s < 130.0
    assert told.share("0", last_s + 1.0, last_s + for_s) == 0.0
    assert told.share("0", last_s + for_s + 5.0) > 0.3


def test_one_that_flaps_is_out_ever_longer_and_its_peers_never_are() -> None:
    told = Story("least_load", flapping(failing(0.45), 45.0), well, well, well, ejection=ON).run(900.0, per_s=20.0)
    assert {replica for _, replica, _, _ in told.out} == {"0"}
    assert 2 <= len(told.out) <= 10
    assert told.most_out == 1


def test_half_a_tier_that_is_bad_goes_and_no_more_however_bad_the_rest_is() -> None:
    bad = failing(0.45)
    told = Story("round_robin", bad, bad, bad, well, well, ejection=ON).run(200.0, per_s=60.0)
    assert told.most_out == 2
    assert not {"3", "4"} & {replica for _, replica, _, _ in told.out}
    assert Counter(replica for _, replica, _, _ in told.out).keys() <= {"0", "1", "2"}
