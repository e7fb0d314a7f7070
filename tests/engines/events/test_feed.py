"""Whatever is lost on the way: no block is believed to be held that the engine has evicted."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from engines.events import Batch, Blocks, Cleared, Feed, Removed
from tests.engines.events.engine import PublishingEngine

PROMPTS = st.lists(st.integers(1, 3), min_size=2, max_size=10)


class Follower:
    """Blocks that follow an engine by a feed, over a connection that a test loses messages of."""

    def __init__(self, engine: PublishingEngine, *, replays: bool = True) -> None:
        self.engine = engine
        self.blocks = Blocks()
        self.replays = replays
        self.asked: int | None = None
        self.reasons: list[bool] = []
        self.feed = Feed(self._apply, self._purge, self._ask)

    def _apply(self, batch: Batch) -> None:
        for event in batch.events:
            if isinstance(event, Cleared):
                self.blocks.clear(complete=True)
            elif isinstance(event, Removed):
                self.blocks.remove(event)
            else:
                self.blocks.store(event)

    def _purge(self, empty: bool) -> None:
        self.reasons.append(empty)
        self.blocks.clear(complete=empty)

    def _ask(self, number: int) -> bool:
        self.asked = number if self.replays else None
        return self.replays

    def connect(self) -> None:
        """What came over the connection before and was not read is dropped."""
        self.engine.sent.clear()
        self.feed.connected()

    def deliver(self) -> None:
        number, payload = self.engine.sent.pop(0)
        self.feed.live(number, payload)

    def answer(self, most: int = 1_000, dropped: frozenset[int] = frozenset()) -> None:
        """The engine answers, without some of the batches, or its connection ends after so many of them."""
        number, self.asked = self.asked, None
        assert number is not None
        batches = self.engine.replay(number)
        for at, batch in enumerate(batches[:most]):
            if at not in dropped:
                self.feed.replayed(*batch)
            if self.asked is not None:
                return  # whatever else this answer brings is not heard
        if len(batches) > most:
            self.feed.replay_failed()
        else:
            self.feed.replay_ended()

    def settle(self) -> None:
        """Let all that is on its way come."""
        while self.engine.sent or self.feed.asking:
            if self.feed.asking:
                self.answer()
            else:
                self.deliver()

    @property
    def held(self) -> set[int]:
        return {name for name in self.blocks._held if name in self.blocks}


class AnyLoss(RuleBasedStateMachine):
    """Batches get lost, the engine restarts, replays break off: once all is quiet, nothing is claimed that is gone."""

    @initialize(capacity=st.integers(1, 8), steps=st.integers(0, 6), replays=st.booleans(), maps=st.booleans())
    def make(self, capacity: int, steps: int, replays: bool, maps: bool) -> None:
        self.engine = PublishingEngine(capacity, steps, maps=maps)
        self.follower = Follower(self.engine, replays=replays)
        self.new_connection = True

    @rule(prompt=PROMPTS)
    def serve(self, prompt: list[int]) -> None:
        self.engine.serve(prompt)

    @rule()
    def clear(self) -> None:
        self.engine.clear()

    @rule()
    def restart(self) -> None:
        self.engine.restart()
        self.new_connection = True

    @precondition(lambda self: self.new_connection)
    @rule()
    def connect(self) -> None:
        self.new_connection = False
        self.follower.connect()

    @rule(at=st.integers(0, 5))
    def lose(self, at: int) -> None:
        if at < len(self.engine.sent):
            del self.engine.sent[at]

    @precondition(lambda self: self.engine.sent and not self.follower.feed.asking)
    @rule()
    def deliver(self) -> None:
        self.follower.deliver()

    @precondition(lambda self: self.follower.feed.asking)
    @rule(most=st.integers(0, 8), dropped=st.frozensets(st.integers(0, 5)))
    def answer(self, most: int, dropped: frozenset[int]) -> None:
        self.follower.answer(most, dropped)

    @rule(prompt=PROMPTS)
    def settle(self, prompt: list[int]) -> None:
        if self.new_connection:
            self.connect()
        self.engine.publish([])  # so that a loss at the end is seen
        self.follower.settle()
        assert self.follower.held <= self.engine.held
        if self.follower.blocks.complete:
            assert self.follower.held == self.engine.held

    def teardown(self) -> None:
        if hasattr(self, "follower"):
            self.settle([])


TestAnyLoss = AnyLoss.TestCase
TestAnyLoss.settings = settings(deadline=None, stateful_step_count=30)


def following(*, capacity: int = 6, buffer_steps: int = 4, replays: bool = True) -> tuple[PublishingEngine, Follower]:
    """An engine that has served something, and a follower that knows all of it."""
    engine = PublishingEngine(capacity, buffer_steps)
    follower = Follower(engine, replays=replays)
    follower.connect()
    if replays:
        follower.answer()
    engine.serve([1, 1, 2, 2])
    follower.settle()
    assert follower.held == engine.held
    follower.reasons.clear()
    return engine, follower


def test_what_was_lost_is_asked_for_and_nothing_is_purged() -> None:
    engine, follower = following()
    engine.serve([3, 3])
    engine.serve([3, 3, 1, 1])
    engine.sent.pop(0)
    follower.settle()
    assert (engine.held, True, []) == (follower.held, follower.blocks.complete, follower.reasons)


def test_what_the_engine_no_longer_has_to_repeat_is_purged_with_all_before_it() -> None:
    engine, follower = following(buffer_steps=2)
    for prompt in ([3, 3], [3, 3, 1, 1], [2, 2], [2, 2, 1, 1]):
        engine.serve(prompt)
    del engine.sent[:3]
    follower.settle()
    assert (False, True, [True, False]) == (follower.blocks.complete, follower.held < engine.held, follower.reasons)


def test_without_a_replay_everything_before_a_loss_is_purged() -> None:
    engine, follower = following(replays=False)
    engine.serve([3, 3])
    engine.serve([2, 2])
    engine.sent.pop(0)
    follower.settle()
    assert (False, 1, [False]) == (follower.blocks.complete, len(follower.held), follower.reasons)


def test_an_engine_that_starts_anew_is_known_from_its_first_batch_on() -> None:
    engine, follower = following()
    engine.restart()
    engine.serve([2, 2])
    follower.settle()  # nobody told of a new connection
    assert (engine.held, True, [True]) == (follower.held, follower.blocks.complete, follower.reasons)


def test_an_engine_that_has_published_as_much_again_since_it_started_anew_is_told_by_its_new_connection() -> None:
    engine, follower = following()
    engine.restart()
    engine.serve([2, 2])
    follower.connect()
    follower.settle()
    assert (engine.held, True, [True]) == (follower.held, follower.blocks.complete, follower.reasons)


def test_a_new_connection_to_the_same_engine_purges_nothing() -> None:
    engine, follower = following()
    engine.serve([3, 3])
    follower.connect()
    follower.settle()
    assert (engine.held, True, []) == (follower.held, follower.blocks.complete, follower.reasons)


def test_what_is_told_twice_is_taken_once() -> None:
    engine, follower = following()
    engine.serve([3, 3])
    engine.serve([1, 3])
    engine.serve([2, 3])
    engine.sent.pop(0)
    follower.deliver()
    follower.answer()  # it has the third too, which is still on its way
    follower.settle()
    assert (engine.held, True, []) == (follower.held, follower.blocks.complete, follower.reasons)


def test_a_batch_that_cannot_be_read_loses_what_it_said() -> None:
    engine, follower = following()
    engine.sent.append((1, b"\xc1"))
    follower.settle()
    assert (set(), False, [False]) == (follower.held, follower.blocks.complete, follower.reasons)
    engine.serve([3, 3])
    follower.settle()
    assert 1 == len(follower.held)


@pytest.mark.parametrize(
    ("most", "dropped", "asked"), [(2, set(), 1), (1_000, {2}, 1), (1_000, {2, 3}, 1), (1_000, {3}, 2)]
)
def test_what_an_answer_had_no_room_for_is_asked_for_again_and_nothing_is_purged(
    most: int, dropped: set[int], asked: int
) -> None:
    engine, follower = following(buffer_steps=10)
    for prompt in ([3, 3], [1, 3], [2, 3], [2, 1]):
        engine.serve(prompt)
    del engine.sent[:-1]
    follower.deliver()
    follower.answer(most, frozenset(dropped))
    assert asked == follower.asked  # the last one that it brought
    follower.settle()
    assert (engine.held, True, []) == (follower.held, follower.blocks.complete, follower.reasons)


@pytest.mark.parametrize("most", [0, 1])
def test_an_answer_that_breaks_off_before_it_brings_anything_is_a_loss(most: int) -> None:
    engine, follower = following()
    for prompt in ([3, 3], [1, 3], [2, 3]):
        engine.serve(prompt)
    engine.sent.pop(0)
    follower.deliver()
    follower.answer(most)
    follower.settle()
    assert (False, [False]) == (follower.blocks.complete, follower.reasons)
    assert follower.held <= engine.held
