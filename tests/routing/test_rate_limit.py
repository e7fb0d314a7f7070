"""A name may do so much in a minute, and what it does beyond that waits for exactly as long as that takes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.rate_limit import MINUTE_S, RateLimit


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.lists(st.floats(0, 20), min_size=1, max_size=80))
def test_no_minute_has_twice_as_much_and_who_waits_as_told_may(per_minute: int, pauses: list[float]) -> None:
    limit, now_s, done = RateLimit(), 0.0, []
    for pause in pauses:
        now_s += pause
        wait_s = limit.wait_s("a", now_s, per_minute)
        if not wait_s:
            done.append(now_s)
        else:
            assert wait_s <= MINUTE_S / per_minute + 1e-6
            assert 0.0 == limit.wait_s("a", now_s + wait_s, per_minute)
            done.append(now_s := now_s + wait_s)
    for at_s in done:
        assert 2 * per_minute >= len([one for one in done if at_s <= one < at_s + MINUTE_S])


def test_all_of_a_minute_may_be_at_once_and_comes_back_evenly() -> None:
    limit = RateLimit()
    assert [0.0] * 60 == [limit.wait_s("a", 5.0, 60) for _ in range(60)]
    assert 1.0 == limit.wait_s("a", 5.0, 60)
    assert [0.0, 1.0] == [limit.wait_s("a", 6.0, 60) for _ in range(2)]
    assert 0.0 == limit.wait_s("b", 6.0, 60)


def test_names_that_may_do_all_again_are_forgotten() -> None:
    limit = RateLimit(most_remembered=2)
    for at, name in enumerate("abcdef"):
        assert 0.0 == limit.wait_s(name, at * MINUTE_S, 1)
    assert limit.remembered <= 3
