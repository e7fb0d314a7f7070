"""What gateways of earlier versions told is read."""

from __future__ import annotations

import msgspec
import pytest

from gateway.experiments import seen_before
from gateway.experiments.seen import unpacked
from routing.gate.observation import Assigned, Measured, Settled

SEEN = [
    Assigned("a", 0, 1, (1.0,)),
    Settled("a", 1, 2**63 + 1, (1.0,), "ab", 3, 1.0, None, 2.0, None, 1.0),
    Measured("b", 0, 1, (0.5, 0.5), "cd", "m", 1.5),
    Settled("a", 1, 5, (1.0,), "ef", 0),
]
COLUMNS = [
    [["a", [1.0]], ["b", [0.5, 0.5]]],
    [0, 1, 2, 1],
    [0, 0, 1, 0],
    [0, 1, 0, 1],
    [1, 2**63 + 1, 1, 5],
    ["ab", "cd", "ef"],
    [3, 0],
    [1.0, None],
    [None, None],
    [2.0, None],
    [None, None],
    [1.0, 0.0],
    ["m"],
    [1.5],
]
WRITTEN = bytes.fromhex(
    "9e9292a16191cb3ff000000000000092a16292cb3fe0000000000000cb3fe00000000000009400010201940000010094000100019401cf8000"
    "000000000001010593a26162a26364a26566920300"
    "92cb3ff0000000000000c092c0c092cb4000000000000000c092c0c092cb3ff0000000000000cb000000000000000091a16d91cb3ff8000000"
    "000000"
)


def test_columns_of_the_version_before_are_read() -> None:
    assert msgspec.msgpack.encode(COLUMNS) == WRITTEN  # as that version wrote them
    assert unpacked(WRITTEN) == SEEN


@pytest.mark.parametrize(
    "columns",
    [
        [[], [0], [0], [0], [0], *[[]] * 9],  # of no experiment
        [[["a", [1.0]]], [1], [0], [0], [7], *[[]] * 9],  # settled, and nothing of it
        [[["a", [1.0]]], [0], [0], [0], ["unit"], *[[]] * 9],
        [[["a", [1.0]]], [3], [0], [0], [7], *[[]] * 9],  # of a kind that it had not
        [[["a", [1.0]]], [0], [-1], [0], [7], *[[]] * 9],
    ],
)
def test_other_columns_are_refused(columns: list[object]) -> None:
    data = msgspec.msgpack.encode(columns)
    assert seen_before.unpacked(data) is None
    with pytest.raises(ValueError, match="no observations"):
        unpacked(data)
