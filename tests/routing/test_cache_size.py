"""The index expects of a replica what its cache has room for, forgets in small steps, and nothing of one that left."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.prefix.index import PrefixIndex
from routing.replicas.replica import SEED_CACHE_BLOCKS, ReplicaState
from routing.replicas.replica_table import FIT_RATIO, ReplicaTable


def filled(prompts: int = 50, blocks: int = 20) -> tuple[ReplicaTable, ReplicaState]:
    """A replica that was sent so many prompts that share nothing."""
    table, rng = ReplicaTable(), random.Random(0)
    state = table.get(("e", "0"))
    slot = table.slot_of(state)
    for _ in range(prompts):
        table.prefixes.add([rng.getrandbits(64) for _ in range(blocks)], slot)
    return table, state


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(0, 400), st.integers(1, 8))
def test_shedding_forgets_the_least_recent_in_bounded_steps(sizes: list[int], keep: int, runs: int) -> None:
    index, rng = PrefixIndex(), random.Random(1)
    slot = index.open()
    chains = [[rng.getrandbits(64) for _ in range(size)] for size in sizes]
    for chain in chains:
        index.add(chain, slot)
    steps = 1
    while index.shed(slot, keep, runs):
        steps += 1
    assert index.held(slot) == min(keep, sum(sizes)) == index.pairs
    assert steps <= len(sizes) // runs + 1
    left = keep
    for chain in reversed(chains):  # the latest are held, up to what is kept
        held = min(left, len(chain))
        assert index.match(chain).depth_of(slot) == held
        left -= held


def test_a_smaller_cache_is_fitted_in_steps_and_keeps_what_came_last() -> None:
    table, state = filled(prompts=1000)
    steps = sum(1 for _ in table.fit(state, 100))
    assert steps == 3
    assert table.prefixes.held(state.slot) == 100
    assert state.cache_blocks == 100
    table.prefixes.add([1, 2, 3], state.slot)
    assert table.prefixes.held(state.slot) == 100


def test_a_size_that_is_about_the_same_changes_nothing() -> None:
    table, state = filled()
    about = int(SEED_CACHE_BLOCKS * (1 + FIT_RATIO)) - 1
    assert list(table.fit(state, about)) == []
    assert state.cache_blocks == SEED_CACHE_BLOCKS


def test_a_replica_that_started_anew_holds_nothing_and_takes_prompts_as_before() -> None:
    table, state = filled()
    list(table.void(state))
    assert table.prefixes.held(state.slot) == 0
    table.prefixes.add([1, 2, 3], state.slot)
    assert table.prefixes.match([1, 2, 3]).depth_of(state.slot) == 3


def test_one_that_leaves_in_the_middle_is_left_alone() -> None:
    table, state = filled(prompts=1000)
    steps = table.void(state)
    next(steps)
    table.leave(state.key)
    assert table.sweep() == [state.key]
    assert list(steps) == []


def test_of_one_without_a_place_in_the_index_there_is_nothing_to_fit() -> None:
    table = ReplicaTable()
    state = table.get(("e", "0"))
    assert (list(table.fit(state, 10)), list(table.void(state))) == ([], [])
    assert state.cache_blocks == SEED_CACHE_BLOCKS
