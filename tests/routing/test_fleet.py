from __future__ import annotations

import random

import pytest

from routing.choosing.pickers import POLICIES, UnknownPolicyError
from routing.choosing.policy import choose
from routing.facts import RequestFacts
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.model import Endpoint
from routing.replicas.replica_table import ReplicaTable
from routing.route import RetrySettings
from tests.routing.fleets import FACTS, SPOKEN, trip


def names(*models: str) -> list[ModelSpec]:
    return [ModelSpec(name, (TargetSpec("e", "up", ("0",), SPOKEN),)) for name in models]


def test_targets_and_replicas_of_one_tier_are_one_pool() -> None:
    spec = ModelSpec(
        "m",
        (
            TargetSpec("a", "x", ("0", "1"), SPOKEN),
            TargetSpec("b", "y", ("0",), SPOKEN, tier=3, weight=2.0),
            TargetSpec("c", "z", ("0",), SPOKEN),
        ),
    )
    tiers = build_fleet([spec], ReplicaTable()).models["m"].whole.pools
    assert [[(e.engine, e.replica, e.model, e.tier, e.weight) for e in tier] for tier in tiers] == [
        [("a", "0", "x", 0, 1.0), ("a", "1", "x", 0, 1.0), ("c", "0", "z", 0, 1.0)],
        [("b", "0", "y", 1, 2.0)],
    ]


def test_an_engine_without_replicas_leaves_its_pool_empty_and_is_passed_over() -> None:
    spec = ModelSpec("m", (TargetSpec("launching", "x", (), SPOKEN), TargetSpec("b", "y", ("0",), SPOKEN, tier=1)))
    route = build_fleet([spec], ReplicaTable()).models["m"]
    assert [[(e.engine, e.tier) for e in tier] for tier in route.whole.pools] == [[], [("b", 1)]]
    chosen = choose(route, FACTS, 0.0, random.Random(0))
    assert chosen is not None
    assert (chosen.engine, chosen.tier) == ("b", 1)
    none = build_fleet([ModelSpec("m", (TargetSpec("launching", "x", (), SPOKEN),))], ReplicaTable()).models["m"]
    assert choose(none, FACTS, 0.0, random.Random(0)) is None


def test_each_operation_is_asked_of_the_engines_that_speak_it_and_of_no_other() -> None:
    spec = ModelSpec(
        "m",
        (
            TargetSpec("chats", "x", ("0", "1"), frozenset({"/chat"})),
            TargetSpec("does_all", "x", ("0",), frozenset({"/chat", "/embed", "/score"})),
            TargetSpec("embeds", "x", ("0",), frozenset({"/embed"}), tier=1),
        ),
    )
    route = build_fleet([spec], ReplicaTable()).models["m"]
    rng = random.Random(0)
    asked: dict[str, set[tuple[str, int]]] = {}
    for operation in ("/chat", "/embed", "/score", "/rerank"):
        facts = RequestFacts(operation, 1, 1)
        tried: set[Endpoint] = set()
        while (chosen := choose(route, facts, 0.0, rng, tried)) is not None and chosen not in tried:
            tried.add(chosen)
        asked[operation] = {(endpoint.engine, endpoint.tier) for endpoint in tried}
    assert asked == {
        "/chat": {("chats", 0), ("does_all", 0)},
        "/embed": {("does_all", 0), ("embeds", 1)},
        "/score": {("does_all", 0)},
        "/rerank": set(),
    }


def test_operations_share_endpoints_budget_and_estimate_and_those_of_the_same_speakers_their_pickers() -> None:
    spec = ModelSpec("m", (TargetSpec("e", "up", ("0", "1"), frozenset({"/chat", "/embed"})),))
    route = build_fleet([spec], ReplicaTable()).models["m"]
    assert route.speakers["/chat"] is route.speakers["/embed"]
    assert route.speakers["/chat"] is route.whole
    assert len(list(route.endpoints())) == 2


def test_a_reload_keeps_load_breaker_health_budget_and_estimate() -> None:
    table, rng = ReplicaTable(), random.Random(0)
    old = build_fleet(names("m"), table)
    state = old.models["m"].whole.pools[0][0].state
    state.charge(10, 20)
    state.healthy = False
    trip(state.breaker, 0.0, rng)
    new = build_fleet([ModelSpec("m", (TargetSpec("e", "renamed", ("0", "1"), SPOKEN),), "random")], table, old)
    route = new.models["m"]
    assert route.whole.pools[0][0].state is state
    assert (state.in_flight_tokens, state.healthy, state.breaker.closed) == (30, False, False)
    assert route.budget is old.models["m"].budget
    assert route.tokens is old.models["m"].tokens
    assert route.whole.pools[0][1].state.in_flight_tokens == 0


def test_changed_retry_settings_start_a_new_budget() -> None:
    table = ReplicaTable()
    old = build_fleet(names("m"), table)
    spec = ModelSpec("m", (TargetSpec("e", "up", ("0",), SPOKEN),), retry=RetrySettings(budget_floor_per_s=0.0))
    assert build_fleet([spec], table, old).models["m"].budget is not old.models["m"].budget


def test_a_request_in_flight_finishes_on_the_old_fleet() -> None:
    table = ReplicaTable()
    old = build_fleet(names("m"), table)
    state = old.models["m"].whole.pools[0][0].state
    state.charge(1, 1)
    build_fleet([ModelSpec("m", (TargetSpec("other", "up", ("0",), SPOKEN),))], table, old)
    table.leave(state.key)
    assert table.sweep() == []
    state.release(1, 1)
    assert table.sweep() == [("e", "0")]


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownPolicyError) as caught:
        build_fleet([ModelSpec("m", (), "leest_load")], ReplicaTable())
    assert str(caught.value) == "unknown policy 'leest_load'; known policies: " + ", ".join(POLICIES)


def test_the_same_endpoint_twice_in_a_tier_is_refused() -> None:
    target = TargetSpec("e", "up", ("0",), SPOKEN)
    with pytest.raises(ValueError, match="model 'm': e/up on replica '0' is twice in one tier"):
        build_fleet([ModelSpec("m", (target, target))], ReplicaTable())


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_not_positive_and_finite_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="model 'm': the weight of e/up must be over 0"):
        build_fleet([ModelSpec("m", (TargetSpec("e", "up", ("0",), SPOKEN, weight=weight),))], ReplicaTable())


def test_a_model_defined_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="model 'm' is defined twice"):
        build_fleet(names("m", "m"), ReplicaTable())


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("chatt", ["chat"]),
        ("CHAT", ["chat"]),
        ("gpt-5-mimi", ["gpt-5-mini", "GPT-5"]),
        ("zzzzzzzz", []),
        ("", []),
        ("x" * 1_000_000, []),
    ],
)
def test_the_nearest_names_are_those_a_person_would_mean(asked: str, answer: list[str]) -> None:
    fleet = build_fleet(names("chat", "GPT-5", "gpt-5-mini", "embed-large"), ReplicaTable())
    assert answer == fleet.nearest(asked)


def test_at_most_n_nearest_names_are_given() -> None:
    fleet = build_fleet(names(*(f"chat-{i}" for i in range(10))), ReplicaTable())
    assert [len(fleet.nearest("chat-x", n)) for n in (1, 3, 5)] == [1, 3, 5]


def test_of_thousands_of_names_the_one_that_was_meant_is_found() -> None:
    names = [f"team-{number % 40}/model-{number:05d}" for number in range(5000)]
    fleet = build_fleet([ModelSpec(name, ()) for name in [*names, "meta-llama-3.1-8b-instruct"]], ReplicaTable())
    assert fleet.nearest("Meta-Llama-3.1-8b-instrct") == ["meta-llama-3.1-8b-instruct"]


def test_a_name_shorter_or_longer_than_all_has_those_of_the_nearest_length() -> None:
    fleet = build_fleet([ModelSpec("a" * size, ()) for size in range(1, 301)], ReplicaTable())
    assert fleet.nearest("a" * 50) == ["a" * 50, "a" * 51, "a" * 49]
    assert fleet.nearest("a") == ["a", "aa"]
