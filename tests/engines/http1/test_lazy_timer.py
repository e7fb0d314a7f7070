"""The laws of the lazy timer: never early, never forgotten, once per deadline, and cheap to move."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engines.lazy_timer import NEVER, LazyTimer
from tests.engines.http1.bench import FakeLoop


def timer() -> tuple[FakeLoop, LazyTimer, list[float]]:
    loop = FakeLoop()
    fired: list[float] = []
    return loop, LazyTimer(loop.as_loop(), lambda: fired.append(loop.now)), fired


def test_it_fires_once_at_its_deadline() -> None:
    loop, lazy, fired = timer()
    lazy.set(loop.now + 3)
    loop.advance(2.9)
    assert fired == []
    loop.advance(10)
    assert fired == [53.0]
    assert (lazy.deadline, loop.pending) == (NEVER, [])


def test_a_deadline_moved_later_makes_no_timer_and_is_kept() -> None:
    loop, lazy, fired = timer()
    lazy.set(loop.now + 1)
    for _ in range(1000):
        lazy.set(lazy.deadline + 0.001)
    assert loop.made == 1
    loop.advance(5)
    assert [round(at, 6) for at in fired] == [52.0]
    assert loop.made == 2


def test_a_deadline_moved_earlier_is_met() -> None:
    loop, lazy, fired = timer()
    lazy.set(loop.now + 10)
    lazy.set(loop.now + 1)
    loop.advance(20)
    assert fired == [51.0]
    assert loop.pending == []


def test_a_deadline_already_past_fires_at_once() -> None:
    loop, lazy, fired = timer()
    lazy.set(loop.now - 5)
    loop.advance(0)
    assert fired == [50.0]


def test_never_and_cancel_silence_it_and_it_can_be_set_again() -> None:
    for silence in (lambda lazy: lazy.set(NEVER), LazyTimer.cancel):
        loop, lazy, fired = timer()
        lazy.set(loop.now + 1)
        silence(lazy)
        loop.advance(10)
        assert (fired, loop.pending) == ([], [])
        lazy.set(loop.now + 1)
        loop.advance(10)
        assert fired == [61.0]


def test_cancel_leaves_no_timer_in_the_loop() -> None:
    loop, lazy, _ = timer()
    lazy.set(loop.now + 1)
    lazy.cancel()
    lazy.cancel()
    assert loop.pending == []


def test_it_can_be_set_from_within_its_own_expiry() -> None:
    loop = FakeLoop()
    fired: list[float] = []

    def expired() -> None:
        fired.append(loop.now)
        if len(fired) < 3:
            lazy.set(loop.now + 1)

    lazy = LazyTimer(loop.as_loop(), expired)
    lazy.set(loop.now + 1)
    loop.advance(10)
    assert fired == [51.0, 52.0, 53.0]


MOVES = st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(-2, 8)), max_size=30)


@given(moves=MOVES)
@settings(deadline=None)
def test_it_fires_exactly_when_a_plain_timer_would(moves: list[tuple[int, int | None]]) -> None:
    """Each move lets time pass, then sets a deadline that far ahead, or cancels."""
    loop, lazy, fired = timer()
    expected: list[float] = []
    deadline = NEVER
    for passing, ahead in moves:
        if deadline <= loop.now + passing:
            expected.append(max(deadline, loop.now))
            deadline = NEVER
        loop.advance(passing)
        if ahead is None:
            lazy.cancel()
            deadline = NEVER
        else:
            deadline = loop.now + ahead
            lazy.set(deadline)
        assert len(loop.pending) <= 1
    loop.advance(100)
    assert fired == expected + ([max(deadline, loop.now - 100)] if deadline != NEVER else [])
