"""The field's rules do what the reference says they do."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.virtual.fleet.block_index import ActiveBlocks, BlockIndex
from gateway.virtual.fleet.replicas import H100, Scrape, TrueCaches, cores_of
from gateway.virtual.policies.baselines.cache_aware import BALANCE_ABS, CacheAware, Tree
from gateway.virtual.policies.baselines.dynamo import Dynamo
from gateway.virtual.policies.baselines.endpoint_picker import EndpointPicker
from gateway.virtual.policies.baselines.least import LeastRequests, LeastTokens
from gateway.virtual.policies.baselines.told_caches import ToldCaches
from gateway.virtual.trace import Arrival, Call
from routing.facts import RequestFacts
from routing.model import Endpoint
from tests.routing.fleets import OPERATION, endpoints, route_of

RNG = random.Random(1)


def pool_of(replicas: int) -> list[Endpoint]:
    return endpoints(route_of(replicas))


def call_of(*ids: int, index: int = 0, tokens: int = 0) -> Call:
    return Call(index, Arrival(arrival_ms=0, input_tokens=tokens or 64 * len(ids), output_tokens=64, prefix_ids=ids))


def facts_of(call: Call) -> RequestFacts:
    return RequestFacts(OPERATION, call.arrival.input_tokens, 64, call)


def depths_by_hand(sent: list[set[int]], chain: list[int]) -> list[int]:
    return [next((i for i, block in enumerate(chain) if block not in one), len(chain)) for one in sent]


CHAINS = st.lists(st.tuples(st.lists(st.integers(0, 8), max_size=6, unique=True), st.integers(0, 2)), max_size=30)


@settings(deadline=None)
@given(CHAINS, st.integers(1, 9))
def test_the_index_of_what_was_sent_is_an_lru_for_each_replica(sent: list[tuple[list[int], int]], most: int) -> None:
    index = BlockIndex(3, [most] * 3)
    order: list[list[int]] = [[], [], []]
    for chain, replica in sent:
        index.add(chain, replica, 0.0)
        order[replica] = [b for b in order[replica] if b not in chain] + chain
        order[replica] = order[replica][-most:]
        assert depths_by_hand([set(one) for one in order], chain) == index.depths(chain, 0.0)


@settings(deadline=None)
@given(CHAINS)
def test_active_blocks_count_each_once_and_are_none_when_all_is_over(sent: list[tuple[list[int], int]]) -> None:
    active = ActiveBlocks(3)
    under_way: list[list[tuple[list[int], int]]] = [[], [], []]
    for own, (chain, replica) in enumerate(sent):
        active.add(chain, own, replica)
        under_way[replica].append((chain, own))
        assert [len({b for c, _ in one for b in c}) + sum(o for _, o in one) for one in under_way] == active.blocks
        assert depths_by_hand([{b for c, _ in one for b in c} for one in under_way], chain) == active.shared(chain)
    for own, (chain, replica) in enumerate(sent):
        active.remove(chain, own, replica)
    assert active.blocks == [0, 0, 0]
    assert active.shared([1]) == [0, 0, 0]


def test_the_tree_gives_the_worker_last_seen_at_the_deepest_match_and_loses_leaves_first() -> None:
    tree = Tree(2, max_blocks=3)
    tree.insert([1, 2, 3, 4], 0)
    tree.insert([1, 2], 1)
    assert [tree.match(chain) for chain in ([1, 2, 3, 9], [1, 2], [9])] == [(3, 0), (2, 1), (0, -1)]
    tree.evict()
    assert tree.match([1, 2, 3, 4]) == (3, 0)


def test_cache_aware_follows_a_long_match_while_loads_are_balanced() -> None:
    pool = pool_of(2)
    rule = CacheAware(pool)
    seen, other = call_of(1, 2, 3, 4), call_of(1, 9, 9, 9)
    rule.sent(seen, facts_of(seen), 1, 0.0)
    pool[1].state.in_flight_requests = BALANCE_ABS
    assert rule.pick(facts_of(seen), 0.0, RNG) is pool[1]
    assert rule.pick(facts_of(other), 0.0, RNG) is pool[0]  # a quarter of the prompt is below the threshold
    pool[1].state.in_flight_requests = BALANCE_ABS + 1
    assert rule.pick(facts_of(seen), 0.0, RNG) is pool[0]


def test_the_endpoint_picker_weighs_prefix_queue_and_cache_usage() -> None:
    pool = pool_of(2)
    rule = EndpointPicker(pool, BlockIndex(2, [100, 100]))
    call = call_of(1, 2)
    rule.sent(call, facts_of(call), 0, 0.0)
    rule.scraped([Scrape(5, 1, 0.2), Scrape(0, 1, 0.2)], 0.0)  # prefix 3 against queue 2
    assert rule.pick(facts_of(call), 0.0, RNG) is pool[0]
    rule.scraped([Scrape(5, 1, 0.8), Scrape(0, 1, 0.2)], 0.0)  # prefix 3 against queue 2 and 1.2 of usage
    assert rule.pick(facts_of(call), 0.0, RNG) is pool[1]


def dynamo_of(replicas: int) -> tuple[list[Endpoint], Dynamo]:
    pool = pool_of(replicas)
    caches = TrueCaches(cores_of((H100,) * replicas, 1))
    return pool, Dynamo(pool, ToldCaches(caches, replicas, 5.0))


def test_dynamo_counts_prefill_until_the_first_token_and_decode_until_the_end() -> None:
    pool, rule = dynamo_of(2)
    first, other = call_of(1, 2, 3, index=1), call_of(9, index=2)
    picked = rule.pick(facts_of(first), 0.0, RNG)
    busy = pool.index(picked) if picked is not None else -1
    idle = 1 - busy
    rule.sent(first, facts_of(first), busy, 0.0)
    # A sibling costs 3 + 3 - 3 blocks of prefill and 3 of decode there, and 3 and 3 at the idle one.
    assert {rule.pick(facts_of(first), 1.0, random.Random(i)) for i in range(20)} == set(pool)
    assert rule.pick(facts_of(other), 1.0, RNG) is pool[idle]
    rule.first_token(first, busy, 2.0)
    assert rule.pick(facts_of(first), 2.0, RNG) is pool[busy]
    assert rule.pick(facts_of(other), 2.0, RNG) is pool[idle]
    rule.ended(first, busy, 3.0)
    assert {rule.pick(facts_of(other), 9.0, random.Random(i)) for i in range(20)} == set(pool)


def test_a_prediction_counts_until_its_time_is_over() -> None:
    told = ToldCaches(TrueCaches(cores_of((H100, H100), 1)), 2, predicted_s=2.0)
    chain = call_of(1, 2, 3).chain
    told.add(chain, 1, 0.0)
    assert [told.depths(chain, 1.9), told.depths(chain, 2.0)] == [[0, 3], [0, 0]]


def test_least_requests_and_least_tokens_take_the_least_of_all() -> None:
    pool = pool_of(5)
    for i, endpoint in enumerate(pool):
        endpoint.state.in_flight_requests = 9 - i
        endpoint.state.in_flight_tokens = 100 + i
    facts = facts_of(call_of(1))
    assert LeastRequests(pool).pick(facts, 0.0, RNG) is pool[4]
    assert LeastTokens(pool).pick(facts, 0.0, RNG) is pool[0]
