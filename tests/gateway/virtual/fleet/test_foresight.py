"""What the caches will hold, and what a policy makes of being told."""

from __future__ import annotations

from gateway.virtual.fleet.foresight import Foresight
from gateway.virtual.fleet.modelled import ModelledFleet
from gateway.virtual.fleet.replicas import H100, TrueCaches, cores_of
from gateway.virtual.policies.named import policy_named
from gateway.virtual.policies.oracle import SCARCE, oracle
from gateway.virtual.trace import Arrival, Call, calls_of
from gateway.virtual.workloads import shared_prompts


def call_of(*ids: int) -> Call:
    return Call(0, Arrival(arrival_ms=0, input_tokens=64 * len(ids), output_tokens=1, prefix_ids=ids))


def test_a_prompt_in_the_queue_counts_until_it_is_computed_and_then_the_cache_does() -> None:
    cores = cores_of((H100, H100), 1)
    foresight = Foresight(TrueCaches(cores), 2)
    asked, queued, cached = call_of(1, 2, 3, 4), call_of(1, 2, 9), call_of(1, 2, 3)
    foresight.sent(queued, 0)
    cores[1].cache.allocate(cached.chain.keys, 0)
    assert foresight.depths(asked.chain) == [2, 3]
    foresight.first_token(queued, 0)
    cores[1].cache.release(cached.chain.keys, 0)
    assert foresight.depths(asked.chain) == [0, 3]


def test_of_a_burst_of_equal_prompts_all_follow_the_first_whether_caches_are_told_or_sent_prompts_remembered() -> None:
    ids = tuple(range(40))
    burst = [Arrival(arrival_ms=i, input_tokens=2600, output_tokens=8, prefix_ids=ids) for i in range(6)]
    for name in ("prefix", "prefix_told"):
        outcomes = ModelledFleet((H100,) * 4, policy_named(name), 1).play(calls_of(burst))
        assert len({one.replica for one in outcomes}) == 1
        assert [one.cached_tokens for one in outcomes] == [0, *[2560] * 5]


def test_the_least_ttft_of_each_call_by_itself_finds_less_again_than_a_cost_that_counts_those_after_it() -> None:
    calls = calls_of(shared_prompts(1, 90.0, 6.0))
    hits = []
    for weight in (1.0, SCARCE):
        outcomes = ModelledFleet((H100,) * 4, oracle(weight), 1).play(calls)
        hits.append(sum(one.cached_tokens for one in outcomes))
    assert hits[1] > 1.1 * hits[0]
