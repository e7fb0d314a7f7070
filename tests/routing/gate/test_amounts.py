"""Amounts of users and sessions: each gives one number, also one that comes seldom."""

from __future__ import annotations

import math

import msgspec
import pytest

from routing.gate.amounts import Amounts
from routing.gate.guardrail import Guardrail
from routing.gate.load import Load


def amounts(most_open: int = 3) -> Amounts:
    return Amounts(Guardrail("score", is_rate=False), Load(), sticky=True, most_open=most_open)


def test_of_sessions_of_one_request_the_oldest_gives_what_it_has() -> None:
    scores = amounts()
    for unit in range(10):
        scores.request(unit, unit % 2 == 1, 0.5, float(unit), 0.0)
    assert scores.seen == [4, 3]
    assert scores.sums == [[12.0, 56.0], [9.0, 35.0]]


def test_the_oldest_gives_the_mean_of_its_requests_and_its_own_arm() -> None:
    scores = amounts(most_open=1)
    for value in (1.0, 2.0, 6.0):
        scores.request(7, True, 0.5, value, 0.0)
    scores.request(8, False, 0.5, 100.0, 0.0)
    assert (scores.seen, scores.sums[1]) == ([0, 1], [3.0, 9.0])


def test_a_unit_that_gave_its_number_gives_no_other_in_this_step() -> None:
    scores = amounts()
    for _ in range(20):
        scores.request(7, True, 0.5, 1.0, 0.0)
    again = amounts()
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(scores.state())))
    for one in (scores, again):
        for _ in range(20):
            one.request(7, True, 0.5, 1.0, 0.0)
        assert one.seen == [0, 1]
        one.begin_step()
        for _ in range(5):
            one.request(7, True, 0.5, 1.0, 0.0)
        assert one.seen == [0, 2]


@pytest.mark.parametrize("finished", [0, 50])
def test_finished_units_take_no_room_from_those_that_come(finished: int) -> None:
    scores = amounts(most_open=10)
    for unit in range(finished):
        for _ in range(5):
            scores.request(unit, True, 0.5, 1.0, 0.0)
    for turn in range(5):
        for unit in range(100, 110):
            scores.request(unit, True, 0.5, 2.0, 0.0)
        assert scores.seen == [0, finished + (10 if turn == 4 else 0)]


def test_short_sessions_that_are_slower_are_seen() -> None:
    slow = Amounts(Guardrail("ttft"), Load(), sticky=True, most_open=100)
    for unit in range(4_000):
        canary = unit % 4 == 3
        if slow.request(unit, canary, 0.25, (250.0 if canary else 100.0) * math.exp((unit * 37 % 101) / 101), 1.0):
            break
    assert slow.thresholds
    for unit in range(4_000, 8_000):
        canary = unit % 4 == 3
        slow.request(unit, canary, 0.25, (250.0 if canary else 100.0) * math.exp((unit * 37 % 101) / 101), 1.0)
    assert any(tally.rolls_back for tally in slow.judged_by)
