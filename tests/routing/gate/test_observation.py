"""Observations are plain arrays on the wire, and come back as they were."""

from __future__ import annotations

import msgspec
import pytest

from routing.gate.observation import ATTEMPT_FAILED, ERROR, LENGTH_STOP, REFUSED, Assigned, Measured, Settled

UNIT = 2**64 - 1


@pytest.mark.parametrize(
    "told",
    [
        Assigned("chat:1", 1, UNIT, (0.95, 0.05)),
        Settled("chat:1", 0, UNIT, (0.95, 0.05), "0" * 32, ERROR + REFUSED, 10.5, None, 20.0, 0.25, 3.0),
        Measured("chat:1", 1, 7, (0.5, 0.5), "0" * 32, "thumbs_down", 1.0),
    ],
)
def test_an_observation_survives_the_wire_as_an_array(told: Assigned | Settled | Measured) -> None:
    sent = msgspec.msgpack.encode(told)
    assert msgspec.msgpack.decode(sent, type=type(told)) == told
    plain = msgspec.msgpack.decode(sent)
    assert isinstance(plain, list)
    assert len(plain) == len(told)


def test_flags_add_up() -> None:
    assert ERROR | ATTEMPT_FAILED | REFUSED | LENGTH_STOP == ERROR + ATTEMPT_FAILED + REFUSED + LENGTH_STOP == 15
