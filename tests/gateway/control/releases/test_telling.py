"""What gateways tell one another through the store, across versions."""

from __future__ import annotations

import msgspec

from gateway.control.releases.telling import Telling
from routing.gate.observation import ERROR, Assigned, Measured, Observation, Settled

SEEN: list[Observation] = [
    Assigned("e", 1, 7, (0.5, 0.5)),
    Settled("e", 1, 7, (0.5, 0.5), "ab", ERROR, 12.0, None, 20.0, None, 3.0),
    Measured("e", 0, 2**63, (0.5, 0.5), "cd", "helpful", 1.0),
]


def batch_of(seen: list[Observation]) -> bytes:
    telling = Telling(lambda: "t")
    telling.begin()
    telling.saw(seen)
    return telling.batch()


def rows(*told: tuple[int, list[object]]) -> bytes:
    """As gateways wrote them before there were columns."""
    return msgspec.msgpack.encode(["other", told])


def test_another_gateways_batch_is_weighed_and_ones_own_is_not_weighed_twice() -> None:
    other = Telling(lambda: "u")
    other.begin()
    assert list(other.heard([(1, batch_of(SEEN))])) == SEEN
    itself = Telling(lambda: "t")
    itself.begin()
    assert list(itself.heard([(1, batch_of(SEEN))])) == []
    assert (other.weighed, itself.weighed) == ([1], [1])


def test_what_the_version_before_this_one_told_is_weighed_too() -> None:
    old = rows(
        (0, ["e", 1, 7, [0.5, 0.5]]),
        (1, ["e", 1, 7, [0.5, 0.5], "ab", ERROR, 12.0, None, 20.0, None, 3.0]),
        (2, ["e", 0, 2**63, [0.5, 0.5], "cd", "helpful", 1.0]),
    )
    telling = Telling()
    assert list(telling.heard([(4, old)])) == SEEN
    assert telling.unread == 0


def test_what_nobody_here_can_read_is_counted_and_keeps_nothing_else_back() -> None:
    telling = Telling()
    later = [msgspec.msgpack.encode(["t", 2, b""]), rows((3, ["e", 1, 7, [1.0]])), rows((0, ["e", "1", 7, [1.0]]))]
    told = [*enumerate(later), (9, batch_of(SEEN))]
    assert list(telling.heard(told)) == SEEN
    assert telling.unread == 3
