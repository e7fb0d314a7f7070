"""Rounds of a gateway that would not answer once in those of the others."""

from __future__ import annotations

from loadtests.path.stage import PACES, USUAL, Pace
from loadtests.peers import commands


def test_a_usual_round_is_as_it_was_asked_for() -> None:
    assert (32, 3.0) == USUAL.of(True, 32, 3.0)
    assert (32, 3.0) == USUAL.of(False, 32, 3.0)


def test_a_slow_one_has_fewer_streams_and_longer_rounds_and_never_more_or_shorter() -> None:
    slow = Pace(4, 10)
    assert (4, 10) == slow.of(True, 32, 3.0)
    assert (32, 10) == slow.of(False, 32, 3.0)
    assert (2, 30.0) == slow.of(True, 2, 30.0)


def test_every_pace_is_of_a_gateway_that_there_is() -> None:
    assert PACES.keys() <= set(commands.NAMES)
