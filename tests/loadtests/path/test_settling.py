"""What a gateway puts off is part of its round."""

from __future__ import annotations

from collections.abc import Iterator

from loadtests.path.bench import MOST_SETTLING_S, SETTLE_S, at_rest_s


def test_a_round_is_over_when_its_gateway_does_nothing_any_more() -> None:
    readings = iter([1.0, 1.2, 1.3, 1.3, 9.9])
    slept: list[float] = []
    assert at_rest_s(lambda: next(readings), slept.append) == 1.3
    assert slept == [SETTLE_S] * 3


def test_one_that_never_rests_is_waited_for_so_long_and_no_longer() -> None:
    def busy() -> Iterator[float]:
        spent_s = 0.0
        while True:
            yield spent_s
            spent_s += 0.1

    readings, slept = busy(), list[float]()
    at_rest_s(lambda: next(readings), slept.append)
    assert sum(slept) <= MOST_SETTLING_S


def test_one_that_is_gone_has_no_figure() -> None:
    assert at_rest_s(lambda: None, lambda _s: None) is None
