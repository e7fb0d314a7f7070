"""How far predictions were off, and that nothing is said of an engine that reports nothing."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.prefix.index import PrefixIndex
from routing.prefix.tally import DECAY_S, FEWEST, LEAST_ROOM, LEAST_STEP, MOST_ROOM, PrefixTally

TOKENS = st.integers(0, 100_000)


@settings(deadline=None)
@given(st.lists(st.tuples(TOKENS, TOKENS, TOKENS), min_size=1, max_size=30))
def test_the_error_of_prompts_of_one_moment_is_their_mean(requests: list[tuple[int, int, int]]) -> None:
    tally, counted = PrefixTally(), list[tuple[int, int, int]]()
    for cached, reported, more in requests:
        prompt = max(cached, reported) + more + 1
        tally.take(cached, reported, prompt, 5.0, 5.0)
        if counted or reported:
            counted.append((cached, reported, prompt))
    assert tally.predicted
    assert tally.reports == bool(counted)
    if counted:
        error = sum(abs(cached - reported) for cached, reported, _ in counted)
        assert tally.error_tokens == pytest.approx(error / len(counted))
        assert tally.error_ratio == pytest.approx(error / sum(prompt for *_, prompt in counted))
        assert tally.error_ratio is not None
        assert 0.0 <= tally.error_ratio <= 1.0


def test_of_an_engine_that_never_reports_the_error_is_unknown() -> None:
    tally = PrefixTally()
    assert not tally.predicted
    for second in range(100):
        tally.take(500, 0, 1000, float(second), float(second))
    assert (tally.predicted, tally.reports, tally.error_tokens, tally.error_ratio) == (True, False, None, None)


def test_what_is_old_weighs_less() -> None:
    tally = PrefixTally()
    tally.take(1000, 1, 1001, 0.0, 0.0)
    for number in range(10):
        tally.take(500, 500, 1000, 5 * DECAY_S + number, 5 * DECAY_S)
    assert tally.error_tokens is not None
    assert tally.error_tokens < 1.0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.tuples(TOKENS, TOKENS), max_size=3 * FEWEST), st.floats(0.0, 1.0)),
        max_size=20,
    )
)
def test_the_room_stays_in_its_bounds_and_moves_the_way_that_the_guesses_were_off(
    rounds: list[tuple[list[tuple[int, int]], float]],
) -> None:
    tally = PrefixTally()
    offs: list[int] = []
    for requests, fullness in rounds:
        for predicted, reported in requests:
            reports = tally.reports or reported > 0
            tally.take(predicted, reported, max(predicted, reported) + 1, 0.0, 0.0)
            offs += [reported - predicted] if reports else []
        before = tally.room
        tally.judge(fullness, 0.0)
        assert LEAST_ROOM <= tally.room <= MOST_ROOM
        if tally.room > before:
            assert sum(offs) > 0
            assert fullness > 0.9
        elif tally.room < before:
            assert sum(offs) < 0
        if tally.room != before:
            assert len(offs) >= FEWEST
            offs.clear()
        elif not tally._judged_requests:
            offs.clear()


def error_of_guesses(told: int, real: int, *, corrected: bool) -> float:
    """The mean error of the last of many guesses at a cache of `real` blocks, taken for one of `told`."""
    rng, tally, index = random.Random(7), PrefixTally(), PrefixIndex()
    slot = index.open(told)
    cache: OrderedDict[int, None] = OrderedDict()
    errors: list[int] = []
    for number in range(6000):
        prompt = min(59, int(rng.paretovariate(0.6)))
        chain = [(prompt << 20) + block for block in range(10)]
        predicted = index.match(chain).depth_of(slot)
        reported = next((at for at, block in enumerate(chain) if block not in cache), len(chain))
        for block in reversed(chain):  # what begins a prompt is the last to go
            cache.pop(block, None)
            cache[block] = None
        while len(cache) > real:
            cache.popitem(last=False)
        index.add(chain, slot)
        tally.take(predicted, reported, len(chain), 0.0, 0.0)
        errors.append(abs(predicted - reported))
        if corrected and number % 50 == 0:
            tally.judge(index.fullness(slot), 0.0)
            index.limit(slot, int(told * tally.room))
    return sum(errors[-2000:]) / 2000


@pytest.mark.parametrize("wrong", [0.6, 3.0])
def test_of_a_cache_whose_size_is_taken_wrong_the_error_falls(wrong: float) -> None:
    told, real = int(200 * wrong), 200
    assert error_of_guesses(told, real, corrected=True) < 0.5 * error_of_guesses(told, real, corrected=False)


def test_of_a_cache_whose_size_is_right_the_guesses_stay_right() -> None:
    assert error_of_guesses(200, 200, corrected=True) < 0.1


def test_of_an_engine_that_tells_of_its_cache_nothing_is_corrected() -> None:
    tally = PrefixTally()
    for _ in range(FEWEST):
        tally.take(900, 100, 1000, 0.0, 0.0)
    tally.judge(1.0, 0.0)
    assert tally.room == pytest.approx(LEAST_STEP)
    tally.follow(True)
    for _ in range(FEWEST):
        tally.take(900, 100, 1000, 0.0, 0.0)
    tally.judge(1.0, 0.0)
    assert tally.room == 1.0
    tally.follow(False)
    tally.judge(1.0, 0.0)
    assert tally.room == pytest.approx(LEAST_STEP)


def test_what_was_predicted_before_the_room_changed_does_not_change_it_again() -> None:
    """All that waited when it was chosen comes back as wrong as before."""
    tally = PrefixTally()
    for _ in range(FEWEST):
        tally.take(900, 100, 1000, 2.0, 1.0)
    tally.judge(1.0, 2.0)
    changed = tally.room
    assert changed == pytest.approx(LEAST_STEP)
    for _ in range(FEWEST):
        tally.take(900, 100, 1000, 3.0, 1.9)
    tally.judge(1.0, 4.0)
    assert tally.room == changed
    for _ in range(FEWEST):
        tally.take(900, 100, 1000, 5.0, 2.0)
    tally.judge(1.0, 6.0)
    assert tally.room < changed


def test_they_still_say_how_far_off_it_was() -> None:
    tally = PrefixTally()
    for at_s in (1.0, 1.0, 3.0):
        for _ in range(FEWEST):
            tally.take(900, 100, 1000, at_s, 0.5)
        tally.judge(1.0, at_s + 0.5)
    assert tally.error_tokens == pytest.approx(800.0)


def test_guesses_of_whole_blocks_that_are_always_a_little_too_low_say_nothing_of_room() -> None:
    """One prompt in sixty is not there: what the guesses about the others lack by rounding was more than that."""
    tally = PrefixTally()
    for number in range(8 * FEWEST):
        tally.take(2152, 0 if number % 60 == 30 else 2208, 2293, 1.0, 1.0)
    tally.judge(1.0, 2.0)
    assert tally.room < 1.0
