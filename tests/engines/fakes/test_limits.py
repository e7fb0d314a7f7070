"""What a key may do in a minute."""

from __future__ import annotations

import pytest

from engines.fakes.limits import Left, Limits


def test_each_key_has_its_own_window_and_it_begins_anew() -> None:
    limits = Limits(requests_per_minute=2, tokens_per_minute=100)
    assert limits.take("a", 10, 0.0) == (True, Left(2, 1, 100, 90, 60.0))
    assert limits.take("a", 10, 20.0) == (True, Left(2, 0, 100, 80, 40.0))
    assert limits.take("a", 10, 30.0) == (False, Left(2, 0, 100, 80, 30.0))
    assert limits.take("b", 10, 30.0) == (True, Left(2, 1, 100, 90, 60.0))
    assert limits.take("a", 10, 60.0) == (True, Left(2, 1, 100, 90, 60.0))


def test_tokens_run_out_too_and_what_is_refused_costs_none() -> None:
    limits = Limits(requests_per_minute=9, tokens_per_minute=100)
    assert limits.take("a", 101, 0.0)[0] is False
    assert limits.take("a", 100, 1.0) == (True, Left(9, 8, 100, 0, 59.0))
    assert limits.take("a", 1, 1.0)[0] is False


def test_what_is_free_is_not_counted_and_always_let_in() -> None:
    limits = Limits(requests_per_minute=1)
    assert limits.take("a", 0, 0.0, 0)[1].requests == 1
    assert limits.take("a", 1, 0.0)[0] is True
    assert limits.take("a", 0, 0.0, 0)[0] is True


@pytest.mark.parametrize(("seconds", "text"), [(60.0, "1m0s"), (59.8, "59.8s"), (0.0119, "12ms"), (90.0, "1m30s")])
def test_a_duration_as_openai_writes_it(seconds: float, text: str) -> None:
    assert Left(0, 0, 0, 0, seconds).reset == text
