"""How far predictions were off, and that nothing is said of an engine that reports nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.prefix_tally import DECAY_S, PrefixTally

TOKENS = st.integers(0, 100_000)


@settings(deadline=None)
@given(st.lists(st.tuples(TOKENS, TOKENS, TOKENS), min_size=1, max_size=30))
def test_the_error_of_prompts_of_one_moment_is_their_mean(requests: list[tuple[int, int, int]]) -> None:
    tally, counted = PrefixTally(), list[tuple[int, int, int]]()
    for cached, reported, more in requests:
        prompt = max(cached, reported) + more + 1
        tally.take(cached, reported, prompt, 5.0)
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
        tally.take(500, 0, 1000, float(second))
    assert (tally.predicted, tally.reports, tally.error_tokens, tally.error_ratio) == (True, False, None, None)


def test_what_is_old_weighs_less() -> None:
    tally = PrefixTally()
    tally.take(1000, 1, 1001, 0.0)
    for number in range(10):
        tally.take(500, 500, 1000, 5 * DECAY_S + number)
    assert tally.error_tokens is not None
    assert tally.error_tokens < 1.0
