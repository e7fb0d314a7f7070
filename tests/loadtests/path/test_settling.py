"""What a gateway puts off is part of its round."""

from __future__ import annotations

from collections.abc import Iterator

from loadtests.path.bench import MOST_SETTLING_S, SETTLE_S, at_rest
from loadtests.path.table import Cpu


def test_a_round_is_over_when_its_gateway_does_nothing_any_more() -> None:
    readings = iter([Cpu(1.0, 0.1), Cpu(1.2, 0.1), Cpu(1.2, 0.3), Cpu(1.2, 0.3), Cpu(9.9, 9.9)])
    slept: list[float] = []
    assert at_rest(lambda: next(readings), slept.append) == Cpu(1.2, 0.3)
    assert slept == [SETTLE_S] * 3


def test_one_that_never_rests_is_waited_for_so_long_and_no_longer() -> None:
    def busy() -> Iterator[Cpu]:
        spent_s = 0.0
        while True:
            yield Cpu(0.0, spent_s)
            spent_s += 0.1

    readings, slept = busy(), list[float]()
    at_rest(lambda: next(readings), slept.append)
    assert sum(slept) <= MOST_SETTLING_S


def test_one_that_is_gone_has_no_figure() -> None:
    assert at_rest(lambda: None, lambda _s: None) is None
