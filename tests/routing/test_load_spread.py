"""A simulation in virtual time: replicas that work through tokens first come first served, and skewed prompts."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

import pytest

from routing.choosing.policy import choose
from tests.routing.fleets import FACTS, route_of

TOKENS_PER_S = 10_000.0
REQUESTS = 3000
REPLICAS = 4


@dataclass(frozen=True)
class Spread:
    mean_wait_s: float
    p99_wait_s: float
    mean_imbalance_tokens: float
    """Most loaded minus least loaded replica, averaged over arrivals."""


def simulate(policy: str, seed: int) -> Spread:
    """One prompt in ten is forty times as long as the others; load is about 80 % of what the replicas can do."""
    traffic, rng = random.Random(seed), random.Random(seed + 1)
    route = route_of(REPLICAS, policy=policy)
    states = [endpoint.state for endpoint in route.whole.pools[0]]
    free_at = dict.fromkeys((s.key for s in states), 0.0)
    running: list[tuple[float, int, tuple[str, str], int]] = []
    now = 0.0
    waits: list[float] = []
    imbalance = 0
    for number in range(REQUESTS):
        tokens = 8000 if traffic.random() < 0.1 else 200
        now += traffic.expovariate(0.8 * REPLICAS * TOKENS_PER_S / 980.0)
        while running and running[0][0] <= now:
            _, _, key, done = heapq.heappop(running)
            next(s for s in states if s.key == key).release(done, 0)
        chosen = choose(route, FACTS, now, rng)
        assert chosen is not None
        state = chosen.state
        state.charge(tokens, 0)
        begins = max(now, free_at[state.key])
        free_at[state.key] = begins + tokens / TOKENS_PER_S
        heapq.heappush(running, (free_at[state.key], number, state.key, tokens))
        waits.append(begins - now)
        loads = [s.in_flight_tokens for s in states]
        imbalance += max(loads) - min(loads)
    for _, _, key, done in running:
        next(s for s in states if s.key == key).release(done, 0)
    assert [s.in_flight_tokens for s in states] == [0] * REPLICAS
    return Spread(sum(waits) / REQUESTS, sorted(waits)[REQUESTS * 99 // 100], imbalance / REQUESTS)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_least_load_spreads_skewed_prompts_better_than_round_robin_and_than_chance(seed: int) -> None:
    least_load, *others = (simulate(policy, seed) for policy in ("least_load", "round_robin", "random"))
    for other in others:
        assert least_load.mean_wait_s < other.mean_wait_s
        assert least_load.p99_wait_s < other.p99_wait_s
        assert least_load.mean_imbalance_tokens < other.mean_imbalance_tokens


def test_the_same_seed_gives_the_same_run() -> None:
    assert simulate("least_load", 5) == simulate("least_load", 5)
