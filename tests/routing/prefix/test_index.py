"""The prefix index against its model, and its laws one by one."""

from __future__ import annotations

import gc
import random
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from routing.prefix.index import FEWEST_STRETCHES, FORGOTTEN_BY_AN_ADD, PrefixIndex
from routing.prefix.match import Match, slots_in
from tests.routing.prefix.model import PrefixModel, Prompt, keys

PROMPTS = st.lists(st.sampled_from([1, 2]), max_size=6).map(tuple)
LIMITS = st.one_of(st.none(), st.integers(0, 15))
PICK = st.integers(0, 1_000)
MOST_SLOTS = 3


def points_are_sound(match: Match, blocks: int) -> bool:
    """Depths ascend, masks shrink, nothing is deeper than the chain."""
    depths = [0, *(depth for depth, _ in match.points)]
    masks = [mask for _, mask in match.points]
    return (
        all(low < high for low, high in pairwise(depths))
        and depths[-1] <= blocks
        and all(after and after != before == before | after for before, after in pairwise(masks))
    )


class IndexAgainstModel(RuleBasedStateMachine):
    """Any mix of calls: both hold the same blocks, found to the same depth, and forget the same ones."""

    @initialize(capacity=st.integers(0, 60))
    def make(self, capacity: int) -> None:
        self.index = PrefixIndex(capacity)
        self.model = PrefixModel(capacity)
        self.asked: list[Prompt] = [(1,), (2,), (3,)]

    @rule(limit=LIMITS)
    def open(self, limit: int | None) -> None:
        if len(self.model.held) == MOST_SLOTS:
            return
        slot = self.index.open(limit)
        assert slot not in self.model.held
        self.model.open(slot, limit)

    @rule(prompt=PROMPTS, pick=PICK)
    def add(self, prompt: Prompt, pick: int) -> None:
        if self.model.held:
            slot = sorted(self.model.held)[pick % len(self.model.held)]
            self.index.add(keys(prompt), slot)
            self.model.add(prompt, slot)
            self.asked.append(prompt)

    @rule(pick=PICK, slot_pick=PICK, keep=st.integers(0, 12), more=PROMPTS)
    def go_on(self, pick: int, slot_pick: int, keep: int, more: Prompt) -> None:
        """A conversation goes on, or from an earlier turn of it, there or elsewhere."""
        self.add(self.asked[-1 - pick % len(self.asked)][:keep] + more, slot_pick)

    @rule(pick=PICK, blocks=st.integers(0, 15))
    def limit(self, pick: int, blocks: int) -> None:
        if self.model.held:
            slot = sorted(self.model.held)[pick % len(self.model.held)]
            self.index.limit(slot, blocks)
            self.model.limit(slot, blocks)

    @rule(pick=PICK)
    def drop(self, pick: int) -> None:
        if self.model.held:
            slot = sorted(self.model.held)[pick % len(self.model.held)]
            self.index.drop(slot)
            self.model.drop(slot)

    @rule(runs=st.integers(0, 3))
    def sweep(self, runs: int) -> None:
        self.index.sweep(runs)

    @invariant()
    def both_hold_the_same(self) -> None:
        assert {slot: len(held) for slot, held in self.model.held.items()} == {
            slot: self.index.held(slot) for slot in self.model.held
        }
        assert self.index.pairs <= self.index.capacity_pairs

    @invariant()
    def both_find_the_same(self) -> None:
        for prompt in self.asked[-8:]:
            match = self.index.match(keys(prompt))
            assert points_are_sound(match, len(prompt))
            expected = {slot: self.model.depth(prompt, slot) for slot in self.model.held}
            assert expected == {slot: match.depth_of(slot) for slot in expected}
            depths = match.depths(20)
            assert {slot: depth for slot, depth in expected.items() if depth} == {
                slot: depth for slot, depth in enumerate(depths) if depth
            }

    def teardown(self) -> None:
        """What is dropped by everybody leaves nothing behind."""
        if hasattr(self, "model"):
            for slot in self.model.held:
                self.index.drop(slot)
            assert not self.index.sweep(1_000_000)
            assert (0, 0, 0) == (self.index.pairs, self.index.runs, self.index.stretches)


TestIndexAgainstModel = IndexAgainstModel.TestCase
TestIndexAgainstModel.settings = settings(deadline=None, stateful_step_count=40)


def index_of(*prompts: tuple[int, Prompt], slots: int = 2, limit: int | None = None) -> PrefixIndex:
    index = PrefixIndex()
    for _ in range(slots):
        index.open(limit)
    for slot, prompt in prompts:
        index.add(keys(prompt), slot)
    return index


def test_a_match_says_who_holds_how_much() -> None:
    index = index_of((0, (1, 2, 3)), (1, (1, 2, 3, 4, 5)), (2, (1, 9)), slots=4)
    assert [(1, 0b111), (3, 0b011), (5, 0b010)] == index.match(keys((1, 2, 3, 4, 5, 6))).points


def test_nothing_is_found_of_what_nobody_was_sent() -> None:
    assert [] == index_of((0, (1, 2))).match(keys((2, 2))).points


def test_a_branch_is_found_beside_the_stretch_it_leaves() -> None:
    index = index_of((0, (1, 1, 1, 1)), (0, (1, 1, 2)))
    assert [[(4, 1)], [(3, 1)]] == [index.match(keys(prompt)).points for prompt in ((1, 1, 1, 1), (1, 1, 2, 2))]


def test_what_two_hold_and_one_left_for_another_branch_is_forgotten_by_that_one_alone() -> None:
    index = index_of((0, (1, 1, 1, 1)), (1, (1, 1, 1, 1)), (0, (1, 1, 2)))
    index.limit(0, 3)
    assert [(2, 0b11), (4, 0b10)] == index.match(keys((1, 1, 1, 1))).points


def test_a_prompt_longer_than_the_limit_is_held_up_to_it() -> None:
    assert [(3, 1)] == index_of((0, (1, 2, 3, 4, 5)), limit=3).match(keys((1, 2, 3, 4, 5))).points


def test_the_shared_beginning_outlives_the_end_that_nobody_asked_for_again() -> None:
    index = index_of((0, (1, 1, 7, 7)), (0, (1, 1, 8)), (0, (1, 1, 9)), limit=4)
    depths = [index.match(keys(prompt)).depth_of(0) for prompt in ((1, 1, 7, 7), (1, 1, 8), (1, 1, 9))]
    assert [2, 3, 3] == depths


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), PROMPTS), max_size=20), PROMPTS, st.integers(0, 2))
def test_what_was_added_last_and_fits_is_found_wholly(added: list[tuple[int, Prompt]], last: Prompt, slot: int) -> None:
    index = index_of(*added, (slot, last), slots=3, limit=12)
    assert len(last) == index.match(keys(last)).depth_of(slot)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), PROMPTS), max_size=12), st.lists(PROMPTS))
def test_a_match_changes_nothing(added: list[tuple[int, Prompt]], asked: list[Prompt]) -> None:
    index, other = index_of(*added, slots=3), index_of(*added, slots=3)
    for prompt in asked:
        index.match(keys(prompt))
    for slot in range(3):  # what would be forgotten next is the same, too
        index.limit(slot, 5)
        other.limit(slot, 5)
    for _, prompt in added:
        assert other.match(keys(prompt)).points == index.match(keys(prompt)).points


def test_a_slot_that_is_used_again_has_nothing_of_the_one_before() -> None:
    index = index_of((0, (1, 2, 3)), (0, (2,)), (1, (1, 2)))
    index.drop(0)
    assert [(2, 0b10)] == index.match(keys((1, 2, 3))).points
    assert 2 == index.open()  # slot 0 still has runs to forget
    assert not index.sweep()
    assert 0 == index.open()
    assert [(2, 0b10)] == index.match(keys((1, 2, 3))).points
    assert [] == index.match(keys((2,))).points


def test_a_slot_that_left_is_swept_by_what_others_add() -> None:
    index = index_of(*((0, (1, letter)) for letter in range(9)))
    index.drop(0)
    for letter in range(4):
        index.add(keys((2, letter)), 1)
    assert (5, False) == (index.pairs, index.sweep(0))


def test_a_slot_that_left_is_not_to_be_used() -> None:
    index = index_of((0, (1,)))
    index.drop(0)
    with pytest.raises(KeyError):
        index.add(keys((1,)), 0)


def test_short_prompts_are_bounded_by_their_number() -> None:
    index = PrefixIndex(100_000)
    index.open()
    chains = [keys((letter, letter // 200)) for letter in range(200)]
    rng = random.Random(1)
    for at in range(20_000):
        index.add([rng.getrandbits(64)] if at % 2 else chains[at % 200], 0)
        assert index.stretches <= index.most_stretches
    assert 100_000 // 7 == index.most_stretches > FEWEST_STRETCHES
    assert index.stretches > index.most_stretches - 4
    assert 2 == index.match(chains[198]).depth_of(0)


@pytest.mark.parametrize("bounded_by", ["its slot", "the index"])
def test_a_long_prompt_takes_the_place_of_so_many_short_ones_at_once_and_of_the_rest_when_it_is_sent_again(
    bounded_by: str,
) -> None:
    room = 3000
    index = PrefixIndex(room if bounded_by == "the index" else 1_000_000)
    slot = index.open(room if bounded_by == "its slot" else None)
    rng = random.Random(2)
    short = [[rng.getrandbits(64)] for _ in range(room)]
    for one in short[: FEWEST_STRETCHES // 2 if bounded_by == "the index" else room]:
        index.add(one, slot)
    held = index.held(slot)
    long = [rng.getrandbits(64) for _ in range(2800)]
    depths = []
    for _ in range(4):
        index.add(long, slot)
        depths.append(index.match(long).depth_of(slot))
        assert index.held(slot) <= room
        assert index.pairs <= index.capacity_pairs
    free = room - held
    assert [min(2800, free + FORGOTTEN_BY_AN_ADD * turn) for turn in range(1, 5)] == depths


def test_the_collector_has_nothing_to_visit() -> None:
    index = PrefixIndex()
    for _ in range(4):
        index.open()
    chains = [keys((letter, *more)) for letter in range(200) for more in ((1, 2, 3), (1, 4))]
    gc.collect()
    before = len(gc.get_objects())
    for at, chain in enumerate(chains):
        index.add(chain, at % 4)
    assert len(gc.get_objects()) - before < 20


def test_a_shared_beginning_that_was_evicted_block_by_block_is_one_stretch_again_when_it_is_sent() -> None:
    shared = (1,) * 30
    index = index_of((0, shared), (1, shared))
    for limit in range(30, 0, -1):
        index.limit(1, limit)
    assert 2 + 30 == index.stretches
    index.limit(1, 30)
    index.add(keys(shared), 1)
    assert 2 + 1 == index.stretches
    assert [(30, 0b11)] == index.match(keys(shared)).points


CHAINS_OF_FEW_KEYS = st.lists(st.integers(0, 6), max_size=8)
"""No chain of hashes: keys that collide within a prompt, and between prompts that share nothing."""


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), CHAINS_OF_FEW_KEYS), max_size=40), st.integers(0, 30))
@example([(2, 0, [0, 0, 0]), (0, 0, []), (2, 0, [0, 1])], 3)  # the first leaves a span that nobody holds
def test_keys_that_collide_break_no_bound_and_raise_nothing(
    calls: list[tuple[int, int, list[int]]], capacity: int
) -> None:
    index = PrefixIndex(capacity)
    slots = [index.open(9) for _ in range(3)]
    for call, at, chain in calls:
        if call == 0:
            index.drop(slots[at])
            slots[at] = index.open(9)
        elif call == 1:
            index.cut(chain, slots[at], len(chain) // 2)
        else:
            index.add(chain, slots[at])
        assert points_are_sound(index.match(chain), len(chain))
        assert all(0 <= index.held(slot) <= 9 for slot in slots)
        assert index.runs >= 0 <= index.pairs
    for slot in slots:
        index.drop(slot)
    index.sweep(1_000)
    assert (0, 0, []) == (index.pairs, index.runs, index.match([1, 2]).points)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 2), PROMPTS, st.integers(0, 12)), max_size=30),
    PROMPTS,
)
def test_what_a_replica_says_it_lost_is_not_found_and_what_it_is_sent_again_is(
    calls: list[tuple[bool, int, Prompt, int]], last: Prompt
) -> None:
    index = index_of(slots=3, limit=12)
    model = PrefixModel(1_000)
    for slot in range(3):
        model.open(slot, 1_000)
    for lost, slot, prompt, depth in calls:
        if lost:
            index.cut(keys(prompt), slot, depth)
            assert index.match(keys(prompt)).depth_of(slot) <= depth
        else:
            index.add(keys(prompt), slot)
            model.add(prompt, slot)
            assert len(prompt) == index.match(keys(prompt)).depth_of(slot)
        assert index.held(slot) <= 12
        for at in range(3):
            assert index.match(keys(last)).depth_of(at) <= model.depth(last, at)


def test_what_a_replica_lost_is_forgotten_from_there_on_and_no_further() -> None:
    index = index_of((0, (1, 2, 3, 4)), (0, (1, 2, 3, 9)), (0, (1, 5)), (1, (1, 2, 3, 4)))
    index.cut(keys((1, 2, 3, 4)), 0, 1)
    found = [index.match(keys(prompt)).points for prompt in ((1, 2, 3, 4), (1, 2, 3, 9), (1, 5))]
    assert [[(1, 0b11), (4, 0b10)], [(1, 0b11), (3, 0b10)], [(1, 0b11), (2, 0b01)]] == found


@settings(deadline=None)
@given(st.sets(st.integers(0, 1_100)))
def test_the_slots_of_a_mask(slots: set[int]) -> None:
    assert sorted(slots) == slots_in(sum(1 << slot for slot in slots))


ROOM = st.integers(1, 40)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), PROMPTS), max_size=30), ROOM)
def test_crowding_is_a_part_of_what_was_found_and_asking_changes_nothing(
    added: list[tuple[int, Prompt]], limit: int
) -> None:
    index = index_of(*added, slots=3, limit=limit)
    crowding = index.crowding(range(3))
    assert 0.0 <= crowding <= 1.0
    assert crowding == index.crowding(range(3))


@pytest.mark.parametrize(("hot", "crowded"), [(1, False), (4, False), (12, True)])
def test_hits_that_a_quarter_of_the_room_would_have_lost_are_crowding(hot: int, crowded: bool) -> None:
    index = PrefixIndex()
    slot = index.open(32)
    for at in range(400):
        index.add(keys((1, at % hot)), slot)
        index.add(keys((2 + at // 200, at % 200)), slot)  # asked for once
    assert (index.crowding([slot]) > 0.1) == crowded


def test_crowding_follows_what_is_asked_for_now() -> None:
    index = PrefixIndex()
    slot = index.open(32)
    told = []
    for hot in (12, 1, 12):
        for at in range(600):
            index.add(keys((1, at % hot)), slot)
            index.add(keys((2 + at // 200, at % 200)), slot)
        told.append(index.crowding([slot]))
    assert told[1] < 0.02 < 0.2 < min(told[0], told[2])


@pytest.mark.parametrize(("limit", "crowding"), [(15, 1.0), (16, 0.0), (None, 0.0)])
def test_where_nothing_was_found_a_cache_is_crowded_unless_it_holds_no_more_than_a_quarter(
    limit: int | None, crowding: float
) -> None:
    index = index_of((0, (1, 2)), (0, (2, 2)), limit=limit)
    assert index.held(0) == 4
    assert index.crowding([0]) == crowding


def test_a_cache_that_is_not_full_is_not_crowded_for_its_oldest_being_used() -> None:
    index = index_of(limit=100)
    for at in range(20):
        index.add(keys((1, at)), 0)
    for at in range(20):
        index.add(keys((1, at)), 0)
    assert index.crowding([0]) < 0.02
