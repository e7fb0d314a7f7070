from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.choosing.policy import choose
from routing.failing import retry
from routing.failing.outcome import Outcome, Retry
from routing.failing.retry import AT_ONCE, FailedAttempt, GiveUp, RetryState, Wait
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.model import Endpoint
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute, RetrySettings
from tests.routing.fleets import FACTS, SPOKEN, endpoints, route_of, trip

RETRYABLE = [o for o in Outcome if o.retry is not Retry.NEVER]
IN_TIER = [o for o in RETRYABLE if o.retry in (Retry.YES, Retry.FREE_TO_MOVE)]
PATIENT = RetrySettings(max_retry_after_s=10.0)
NO_BUDGET = RetrySettings(budget_per_request=0.0, budget_floor_per_s=0.0)


@settings(deadline=None)
@given(data=st.data(), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3), seed=st.integers(0, 1000))
def test_laws_of_a_request_that_keeps_failing(data: st.DataObject, sizes: list[int], seed: int) -> None:
    """Whatever fails in whatever order: the waits end before the deadline, each tier is asked at most three times and
    each one below is asked at all, Retry-After is kept, and in-tier retries are paid for."""
    rng = random.Random(seed)
    tokens = data.draw(st.integers(0, 4))
    route = route_of(
        *sizes,
        retry=RetrySettings(
            max_retry_after_s=10.0, budget_per_request=0.0, budget_floor_per_s=0.0, budget_cap=float(tokens or 1)
        ),
    )
    route.budget._tokens = float(tokens)
    now = 1000.0
    deadline = now + data.draw(st.sampled_from([0.01, 1.0, 5.0, 60.0]))
    state = RetryState(route, FACTS, deadline)
    not_before: dict[Endpoint, float] = {}
    asked: list[Endpoint] = []
    paid = 0
    chosen = choose(route, FACTS, now, rng)
    while chosen is not None:
        endpoint = chosen
        assert now >= not_before.get(endpoint, 0.0)
        asked.append(endpoint)
        outcome = data.draw(st.sampled_from(IN_TIER))
        after = data.draw(st.sampled_from([None, 0.5, 3.0, 11.0])) if outcome.retry is Retry.YES else None
        if after is not None:
            not_before[endpoint] = now + after
        verdict = retry.next(state, FailedAttempt(endpoint, outcome, after), now, rng)
        assert len(asked) == state.attempts
        if isinstance(verdict, GiveUp):
            break
        assert verdict.seconds >= 0.0
        assert now + verdict.seconds < deadline
        now += verdict.seconds
        chosen = state.choose(now, rng)
        assert chosen is not None  # nothing else changed meanwhile
        fallback = chosen.tier > max(e.tier for e in asked)
        free_move = outcome is Outcome.CONNECT_FAILED and chosen not in asked
        paid += not (fallback or free_move)
    assert now < deadline
    assert paid == tokens - route.budget._tokens
    assert all(sum(e.tier == tier for e in asked) <= 3 for tier in range(len(sizes)))
    assert {e.tier for e in asked} == set(range(len(sizes)))


@pytest.mark.parametrize("outcome", [o for o in Outcome if o.retry is Retry.NEVER])
def test_an_outcome_no_attempt_can_better_ends_it(outcome: Outcome) -> None:
    route = route_of(2, 1)
    verdict = retry.next(
        RetryState(route, FACTS), FailedAttempt(route.whole.pools[0][0], outcome), 0.0, random.Random(0)
    )
    assert verdict == GiveUp("not_retryable")


@pytest.mark.parametrize("outcome", IN_TIER)
def test_an_untried_sibling_is_asked_at_once(outcome: Outcome) -> None:
    route, rng = route_of(2), random.Random(0)
    a, b = endpoints(route)
    state = RetryState(route, FACTS)
    assert retry.next(state, FailedAttempt(a, outcome, retry_after_s=5.0), 0.0, rng) == AT_ONCE
    chosen = state.choose(0.0, rng)
    assert chosen is not None
    assert chosen is b


def test_a_connect_failure_moves_on_even_when_the_budget_is_empty() -> None:
    route, rng = route_of(2, retry=NO_BUDGET), random.Random(0)
    a, b = endpoints(route)
    state = RetryState(route, FACTS)
    assert retry.next(state, FailedAttempt(a, Outcome.CONNECT_FAILED), 0.0, rng) == AT_ONCE
    assert retry.next(state, FailedAttempt(b, Outcome.CONNECT_FAILED), 0.0, rng) == GiveUp("budget")


def test_connect_failures_are_bounded_too() -> None:
    route, rng = route_of(10, retry=NO_BUDGET), random.Random(0)
    state = RetryState(route, FACTS)
    verdicts = [retry.next(state, FailedAttempt(e, Outcome.CONNECT_FAILED), 0.0, rng) for e in route.whole.pools[0][:3]]
    assert verdicts == [AT_ONCE, AT_ONCE, GiveUp("exhausted")]


def test_an_empty_budget_stops_retries_within_a_tier_but_not_the_fallback() -> None:
    route, rng = route_of(2, 2, retry=NO_BUDGET), random.Random(0)
    state = RetryState(route, FACTS)
    assert retry.next(state, FailedAttempt(route.whole.pools[0][0], Outcome.SERVER_ERROR), 0.0, rng) == AT_ONCE
    chosen = state.choose(0.0, rng)
    assert chosen is not None
    assert chosen.tier == 1
    assert retry.next(state, FailedAttempt(chosen, Outcome.SERVER_ERROR), 0.0, rng) == GiveUp("budget")


def test_a_fallback_gets_its_chance_after_three_attempts_in_a_large_tier() -> None:
    route, rng = route_of(10, 1), random.Random(0)
    state = RetryState(route, FACTS)
    chosen = choose(route, FACTS, 0.0, rng)
    tiers = []
    while chosen is not None:
        tiers.append(chosen.tier)
        if len(tiers) == 5:
            break
        assert retry.next(state, FailedAttempt(chosen, Outcome.SERVER_ERROR), 0.0, rng) != GiveUp("exhausted")
        chosen = state.choose(0.0, rng)
    assert tiers == [0, 0, 0, 1, 1]


def test_a_first_byte_timeout_goes_to_the_next_tier_and_nowhere_else() -> None:
    route, rng = route_of(3, 1), random.Random(0)
    state = RetryState(route, FACTS)
    assert retry.next(state, FailedAttempt(route.whole.pools[0][0], Outcome.FIRST_BYTE_TIMEOUT), 0.0, rng) == AT_ONCE
    chosen = state.choose(0.0, rng)
    assert chosen is not None
    assert chosen.tier == 1
    verdict = retry.next(state, FailedAttempt(chosen, Outcome.FIRST_BYTE_TIMEOUT), 0.0, rng)
    assert verdict == GiveUp("not_retryable")


def test_the_same_replica_is_asked_again_after_a_growing_jittered_wait() -> None:
    route, rng = route_of(1, retry=RetrySettings(max_attempts=12)), random.Random(3)
    state = RetryState(route, FACTS)
    (only,) = endpoints(route)
    limits, waits = [], []
    for attempt in range(11):
        verdict = retry.next(state, FailedAttempt(only, Outcome.SERVER_ERROR), float(attempt), rng)
        assert isinstance(verdict, Wait)
        limits.append(min(2.0, 0.025 * 2**attempt))
        waits.append(verdict.seconds)
    assert all(0.0 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
    oracle = random.Random(3)
    assert waits == [oracle.random() * limit for limit in limits]
    assert retry.next(state, FailedAttempt(only, Outcome.SERVER_ERROR), 11.0, rng) == GiveUp("exhausted")


def test_retry_after_is_never_undercut() -> None:
    route, rng = route_of(1, retry=PATIENT), random.Random(0)
    state = RetryState(route, FACTS)
    (only,) = endpoints(route)
    verdict = retry.next(state, FailedAttempt(only, Outcome.RATE_LIMITED, 4.0), 100.0, rng)
    assert verdict == Wait(4.0)
    assert state.choose(104.0, rng) is not None


def test_of_several_limited_replicas_the_first_to_be_free_is_asked() -> None:
    route, rng = route_of(2, retry=PATIENT), random.Random(0)
    a, b = endpoints(route)
    state = RetryState(route, FACTS)
    assert retry.next(state, FailedAttempt(a, Outcome.RATE_LIMITED, 3.0), 0.0, rng) == AT_ONCE
    assert retry.next(state, FailedAttempt(b, Outcome.RATE_LIMITED, 8.0), 0.0, rng) == Wait(3.0)
    # A timer that fires a little early still finds its replica.
    chosen = state.choose(2.9995, rng)
    assert chosen is not None
    assert chosen is a


def test_the_first_to_serve_again_is_told_whoever_was_asked_last() -> None:
    route, rng = route_of(1, 1, 1), random.Random(0)
    a, b, c = endpoints(route)
    state = RetryState(route, FACTS)
    assert state.free_in_s(0.0) is None
    retry.next(state, FailedAttempt(a, Outcome.RATE_LIMITED, 5.0), 0.0, rng)
    retry.next(state, FailedAttempt(b, Outcome.SERVER_ERROR), 1.0, rng)
    retry.next(state, FailedAttempt(c, Outcome.OVERLOADED, 30.0), 2.0, rng)
    assert [state.free_in_s(now) for now in (2.0, 4.5, 9.0)] == [3.0, 0.5, 0.0]


def test_a_longer_retry_after_than_the_limit_is_left_to_the_client() -> None:
    route = route_of(1)
    (only,) = endpoints(route)
    verdict = retry.next(RetryState(route, FACTS), FailedAttempt(only, Outcome.OVERLOADED, 10.5), 0.0, random.Random(0))
    assert verdict == GiveUp("retry_after")


def test_a_wait_that_would_reach_the_deadline_is_not_begun() -> None:
    route = route_of(1, retry=PATIENT)
    (only,) = endpoints(route)
    failure = FailedAttempt(only, Outcome.RATE_LIMITED, 4.0)
    assert retry.next(RetryState(route, FACTS, 4.0), failure, 0.0, random.Random(0)) == GiveUp("deadline")
    assert retry.next(RetryState(route, FACTS, 4.001), failure, 0.0, random.Random(0)) == Wait(4.0)


def test_after_the_deadline_not_even_a_sibling_is_asked() -> None:
    route = route_of(2)
    failure = FailedAttempt(route.whole.pools[0][0], Outcome.CONNECT_FAILED)
    assert retry.next(RetryState(route, FACTS, 5.0), failure, 5.0, random.Random(0)) == GiveUp("deadline")


def test_waits_that_are_refused_cost_nothing() -> None:
    route, rng = route_of(1, retry=PATIENT), random.Random(0)
    (only,) = endpoints(route)
    before = route.budget._tokens
    retry.next(RetryState(route, FACTS, 1.0), FailedAttempt(only, Outcome.RATE_LIMITED, 4.0), 0.0, rng)
    retry.next(RetryState(route, FACTS), FailedAttempt(only, Outcome.RATE_LIMITED, 40.0), 0.0, rng)
    assert before == route.budget._tokens


@pytest.mark.parametrize("nonsense", [-5.0, 0.0, float("nan")])
def test_a_retry_after_of_nonsense_is_as_none(nonsense: float) -> None:
    route = route_of(1)
    (only,) = endpoints(route)
    verdicts = [
        retry.next(RetryState(route, FACTS), FailedAttempt(only, Outcome.OVERLOADED, after), 0.0, random.Random(0))
        for after in (nonsense, None)
    ]
    assert verdicts[0] == verdicts[1]


def test_when_everything_breaks_during_the_wait_there_is_no_choice() -> None:
    route, rng = route_of(1), random.Random(0)
    (only,) = endpoints(route)
    state = RetryState(route, FACTS)
    assert isinstance(retry.next(state, FailedAttempt(only, Outcome.SERVER_ERROR), 0.0, rng), Wait)
    trip(only.state.breaker, 0.0, rng)
    assert state.choose(0.1, rng) is None


def test_a_replica_whose_breaker_opened_is_not_waited_for() -> None:
    route, rng = route_of(1), random.Random(0)
    (only,) = endpoints(route)
    trip(only.state.breaker, 0.0, rng)
    assert retry.next(RetryState(route, FACTS), FailedAttempt(only, Outcome.SERVER_ERROR), 0.0, rng) == GiveUp(
        "exhausted"
    )


def test_unless_told_otherwise_a_retry_after_of_a_second_is_the_clients() -> None:
    route = route_of(1)
    (only,) = endpoints(route)
    failure = FailedAttempt(only, Outcome.RATE_LIMITED, 1.0)
    assert retry.next(RetryState(route, FACTS), failure, 0.0, random.Random(0)) == GiveUp("retry_after")


@pytest.mark.parametrize("after_send", [False, True])
def test_a_connection_lost_after_the_send_ends_it_unless_it_may_be_billed_twice(after_send: bool) -> None:
    route = route_of(2, 1, retry=RetrySettings(after_send=after_send))
    state = RetryState(route, FACTS)
    verdict = retry.next(state, FailedAttempt(route.whole.pools[0][0], Outcome.CONNECTION_LOST), 0.0, random.Random(0))
    assert verdict == (AT_ONCE if after_send else GiveUp("not_retryable"))


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"base_backoff_s": 3.0}, {"max_retry_after_s": -1.0}])
def test_retry_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        RetrySettings(**wrong)  # type: ignore[arg-type]  # the point of the test


def pool_of(*targets: tuple[str, str, int, int]) -> tuple[ModelRoute, list[Endpoint]]:
    """A route of these (engine, model, tier, replicas)."""
    specs = [
        TargetSpec(engine, model, tuple(str(i) for i in range(replicas)), SPOKEN, tier)
        for engine, model, tier, replicas in targets
    ]
    route = build_fleet([ModelSpec("m", tuple(specs), retry=NO_BUDGET)], ReplicaTable()).models["m"]
    return route, endpoints(route)


def asked_after(route: ModelRoute, first: Endpoint, outcome: Outcome) -> list[Endpoint]:
    """Every endpoint that is asked when all of them end as the first did."""
    state, rng = RetryState(route, FACTS), random.Random(0)
    asked = [first]
    while retry.next(state, FailedAttempt(asked[-1], outcome), 0.0, rng) == AT_ONCE:
        chosen = state.choose(0.0, rng)
        assert chosen is not None
        asked.append(chosen)
    return asked


def test_a_wrong_model_name_is_tried_once_under_each_name_and_costs_no_budget() -> None:
    route, (a, _, b, c) = pool_of(("vllm", "wrong", 0, 2), ("vllm", "right", 0, 1), ("openai", "wrong", 1, 1))
    assert [a, b, c] == asked_after(route, a, Outcome.UNKNOWN_MODEL)
    assert [a, b, c] == asked_after(route, a, Outcome.UNSPOKEN)


def test_refused_credentials_are_tried_once_per_engine_and_cost_no_budget() -> None:
    route, (a, _, _, c, d) = pool_of(
        ("openai", "x", 0, 2), ("openai", "y", 0, 1), ("azure", "x", 0, 1), ("vllm", "x", 1, 1)
    )
    assert [a, c, d] == asked_after(route, a, Outcome.CREDENTIALS_REFUSED)


def test_what_refused_is_not_asked_again_after_a_wait() -> None:
    route, (a, b) = pool_of(("vllm", "wrong", 0, 1), ("openai", "right", 0, 1))
    state, rng = RetryState(route, FACTS), random.Random(0)
    assert retry.next(state, FailedAttempt(a, Outcome.UNKNOWN_MODEL), 0.0, rng) == AT_ONCE
    route.budget._tokens = 9.0
    assert isinstance(retry.next(state, FailedAttempt(b, Outcome.RATE_LIMITED), 0.0, rng), Wait)
    assert state.choose(10.0, rng) is b
