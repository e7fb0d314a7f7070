"""Laws of the modelled fleet, for every policy."""

from __future__ import annotations

import math
import random

import pytest

from gateway.virtual.fleet.modelled import ALONE, Crew, ModelledFleet, Outcome
from gateway.virtual.fleet.replicas import Gpu
from gateway.virtual.policies.figures import Figures, figures_of
from gateway.virtual.policies.named import POLICIES, REFUSING, policy_named
from gateway.virtual.policies.scenarios import scenario_named
from gateway.virtual.trace import Arrival, calls_of
from tests.gateway.virtual.fleets import SMALL, evenly, fleet_of, shared_calls

SMALL_CACHE = Gpu(
    prefill_tokens_per_s=11_852.0, cache_tokens=35_520, itl_ms=8.0, base_ms=20.0, time_factor_under_load=1.0
)
CREWS = {"one gateway": ALONE, "three that share nothing": Crew(3), "three that tell": Crew(3, 0.1, 0.05)}


def told(outcomes: list[Outcome]) -> list[tuple[int, int, float, float, int]]:
    return [(one.call.index, one.replica, one.ttft_s, one.end_s, one.cached_tokens) for one in outcomes]


@pytest.mark.parametrize("crew", CREWS.values(), ids=CREWS)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_call_ends_once_and_nothing_stays_in_flight(policy: str, crew: Crew) -> None:
    calls = shared_calls()
    fleet = fleet_of(policy, crew=crew)
    outcomes = fleet.play(calls)
    assert [call.index for call in calls] == [one.call.index for one in outcomes]
    answered = [one for one in outcomes if not one.refused]
    assert len(answered) == len(outcomes) or policy == REFUSING
    assert all(0 < one.ttft_s < math.inf and one.call.at_s + one.ttft_s <= one.end_s for one in answered)
    for gateway in fleet.gateways:
        assert gateway.series.in_flight == 0
        for state in gateway.table:
            assert (state.in_flight_requests, state.in_flight_tokens, state.prefill_tokens) == (0, 0, 0)
    assert [(core.running, core.waiting, core.cache.used) for core in fleet.cores] == [(0, 0, 0)] * 3


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_gives_the_same_outcomes(policy: str) -> None:
    calls = shared_calls(duration_s=1.0)
    crew = Crew(2, 0.1)
    assert told(fleet_of(policy, crew=crew).play(calls)) == told(fleet_of(policy, crew=crew).play(calls))


def test_prompts_that_come_faster_than_they_are_computed_wait_as_long_as_in_a_queue_of_fixed_times() -> None:
    gpu = Gpu(prefill_tokens_per_s=10_000, base_ms=4, time_factor_under_load=1)
    calls = evenly(50, gap_s=0.08, input_tokens=1000)  # 0.1 s each: the k-th waits for k * 0.02 s
    outcomes = ModelledFleet((gpu,), policy_named("least_load"), 1).play(calls)
    assert [round(0.104 + 0.02 * k, 9) for k in range(50)] == [round(one.ttft_s, 9) for one in outcomes]


def test_prompts_that_come_slower_than_they_are_computed_never_wait() -> None:
    gpu = Gpu(prefill_tokens_per_s=10_000, base_ms=4, time_factor_under_load=1)
    outcomes = ModelledFleet((gpu,), policy_named("least_load"), 1).play(evenly(20, gap_s=0.11, input_tokens=1000))
    assert {0.104} == {round(one.ttft_s, 9) for one in outcomes}


def test_two_replicas_in_turn_are_two_queues() -> None:
    gpu = Gpu(prefill_tokens_per_s=10_000, base_ms=0, time_factor_under_load=1)
    outcomes = ModelledFleet((gpu, gpu), policy_named("round_robin"), 1).play(evenly(40, 0.04, 1000))
    assert [round(0.1 + 0.02 * (k // 2), 9) for k in range(40)] == [round(one.ttft_s, 9) for one in outcomes]


def test_a_prefix_that_the_replica_has_is_not_computed_again() -> None:
    ids = tuple(range(10))
    calls = calls_of(
        [
            Arrival(arrival_ms=1000 * i, input_tokens=700, output_tokens=1, prefix_ids=ids if i < 2 else ids[:4])
            for i in range(3)
        ]
    )
    outcomes = ModelledFleet((SMALL,), policy_named("least_load"), 1).play(calls)
    assert [one.cached_tokens for one in outcomes] == [0, 640, 256]
    assert [round(one.ttft_s - 0.004, 9) for one in outcomes] == [700 / 16_000, 60 / 16_000, 444 / 16_000]


def test_of_two_kinds_of_replicas_the_faster_one_is_given_more_by_whoever_looks() -> None:
    fast, slow = Gpu(prefill_tokens_per_s=16_000), Gpu(prefill_tokens_per_s=4_000)
    outcomes = ModelledFleet((fast, slow), policy_named("oracle"), 1).play(evenly(200, 0.06, 1000))
    shares = [sum(one.replica == i for one in outcomes) for i in (0, 1)]
    assert shares[0] > 3 * shares[1]


def test_gateways_that_tell_hear_what_the_others_have_in_flight() -> None:
    fleet = fleet_of("least_load", crew=Crew(2, 0.05))
    seen: list[int] = []
    calls = evenly(40, 0.01, 4000, output_tokens=50)
    fleet.play(calls)
    seen = [state.remote_tokens for gateway in fleet.gateways for state in gateway.table]
    assert max(seen) > 0


def test_gateways_that_share_know_what_the_others_sent_where_and_those_that_do_not_know_their_own() -> None:
    calls = evenly(40, 0.01, 1000)
    for number, call in enumerate(calls):
        call.chain.extend(range(number << 8, (number << 8) + 5))
    for crew, knowing in ((Crew(2, 0.0, 0.05), 2), (Crew(2), 1)):
        fleet = fleet_of("prefix", crew=crew)
        outcomes = fleet.play(calls)
        for one in outcomes[:20]:  # what was sent last nobody was told of any more
            depths = [
                gateway.table.prefixes.match(one.call.chain).depth_of(gateway.pool[one.replica].state.slot)
                for gateway in fleet.gateways
            ]
            assert [5] * knowing == [depth for depth in depths if depth]


@pytest.mark.parametrize(("name", "replicas", "per_s"), [("chat", 16, 199.0), ("shared-prompts", 4, 137.0)])
def test_four_that_share_nothing_find_nine_tenths_of_the_hits_of_one_while_replicas_are_full(
    name: str, replicas: int, per_s: float
) -> None:
    """They keep to the home that all of them agree on, although it is full, and none knows what the others sent it; nor
    are the requests of others that wait there taken for more than they are."""
    scenario = scenario_named(name)
    gpus = scenario.fleet(replicas)
    calls = calls_of(scenario.workload(1, per_s, 12.0))
    one, four = (
        figures_of(ModelledFleet(gpus, policy_named("prefix"), 1, crew).play(calls), gpus, scenario.ttft_slo_s)
        for crew in (ALONE, Crew(4))
    )
    assert four.hit_ratio >= 0.9 * one.hit_ratio


@pytest.mark.parametrize("room", [0.5, 3.0])
def test_of_caches_taken_for_larger_or_smaller_than_they_are_the_guesses_get_better(room: float) -> None:
    scenario = scenario_named("chat")
    replicas = scenario.fleet(4)
    calls = calls_of(scenario.workload(1, 48.0, 80.0))
    off = [
        figures_of(
            ModelledFleet(replicas, policy_named("prefix"), 1, Crew(room=room, corrects=corrects)).play(calls),
            replicas,
            scenario.ttft_slo_s,
        ).off_ratio
        or 0.0
        for corrects in (True, False)
    ]
    assert off[0] < 0.8 * off[1]


def returning(rate_per_s: float, duration_s: float) -> list[Arrival]:
    """Conversations of six turns that come back after 2.6 s each, when `SMALL_CACHE` is about to drop them."""
    rng, arrivals, start_s = random.Random(1), list[Arrival](), 0.0
    while (start_s := start_s + rng.expovariate(rate_per_s / 6)) < duration_s:
        owner = len(arrivals) << 20
        for turn in range(6):
            tokens = 200 + 264 * turn
            arrivals.append(
                Arrival(
                    arrival_ms=(start_s + 2.6 * turn) * 1e3,
                    input_tokens=tokens,
                    output_tokens=64,
                    prefix_ids=tuple(range(owner, owner + tokens // 64)),
                )
            )
    return sorted(arrivals, key=lambda one: one.arrival_ms)


def test_what_a_queue_drove_out_does_not_make_others_be_forgotten_that_are_still_there() -> None:
    """Or they would be sent elsewhere, computed again there, and drive out yet others."""
    replicas = [SMALL_CACHE] * 4
    calls = calls_of(returning(58.0, 50.0))
    guessed, told = (
        figures_of(ModelledFleet(replicas, policy_named(name), 1).play(calls), replicas, 0.5).hit_ratio
        for name in ("prefix", "prefix_told")
    )
    assert guessed > 0.9 * told


def test_four_workers_that_tell_each_other_do_what_one_does() -> None:
    scenario = scenario_named("shared-prompts")
    replicas = scenario.fleet(4)
    for crew in (ALONE, Crew(4, 0.02, 0.02)):
        good = []
        for seed in (1, 2):
            fleet = ModelledFleet(replicas, policy_named("prefix"), seed, crew)
            outcomes = fleet.play(calls_of(scenario.workload(seed, 130.0, 12.0)))
            good.append(figures_of(outcomes, replicas, 0.5).good_ratio)
        assert sum(good) / len(good) > 0.95


def test_who_refuses_what_would_be_late_answers_what_it_can_in_time() -> None:
    """At 120 % of saturation, where whoever answers everything answers it late; at 50 % nothing is refused."""
    scenario = scenario_named("shared-prompts")
    replicas, saturation_per_s = scenario.fleet(4), 152.0

    def found(policy: str, load: float) -> Figures:
        calls = calls_of(scenario.workload(1, load * saturation_per_s, 20.0))
        fleet = ModelledFleet(replicas, policy_named(policy, scenario.ttft_slo_s), 1)
        return figures_of(fleet.play(calls), replicas, scenario.ttft_slo_s)

    refusing, serving = found(REFUSING, 1.2), found("prefix", 1.2)
    assert refusing.good_ratio > 0.75
    assert serving.good_ratio < 0.25
    assert refusing.refused_ratio < 0.2
    assert refusing.ttft_p99_s < 0.5 * serving.ttft_p99_s
    assert found(REFUSING, 0.5).refused_ratio == 0.0


def test_a_call_that_no_replica_can_hold_is_an_error() -> None:
    with pytest.raises(ValueError, match="the request needs 157 blocks and the cache has 125"):
        fleet_of("least_load").play(evenly(1, 0.0, 10_000))


def test_no_calls_no_outcomes() -> None:
    assert fleet_of("least_load").play([]) == []


OURS = ("latency", "prefix", "session", "prefix_told", REFUSING)


@pytest.mark.parametrize("policy", POLICIES)
def test_ours_spare_the_full_unless_told_otherwise_and_baselines_send_as_they_are_published(policy: str) -> None:
    calls = shared_calls(rate_per_s=200.0)
    spared, sent = fleet_of(policy), fleet_of(policy, crew=Crew(spares=False))
    ours = policy in OURS
    assert (told(spared.play(calls)) != told(sent.play(calls))) is ours
    for fleet, hears in ((spared, ours), (sent, False)):
        assert [hears] * 3 == [state.reported.weight(0.0) > 0 for state in fleet.gateways[0].table]


def test_to_spare_the_full_does_not_drive_hot_prompts_from_where_they_are_held() -> None:
    scenario = scenario_named("shared-prompts")
    replicas = scenario.fleet(4)
    calls = calls_of(scenario.workload(1, 76.0, 10.0))
    outcomes = ModelledFleet(replicas, policy_named("prefix"), 1).play(calls)
    found = figures_of(outcomes, replicas, scenario.ttft_slo_s)
    assert found.good_ratio > 0.99
    assert found.hit_ratio > 0.9
