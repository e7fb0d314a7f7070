"""Observations are equal by what they say, and flags add up."""

from __future__ import annotations

from routing.gate.observation import ATTEMPT_FAILED, ERROR, LENGTH_STOP, REFUSED, Assigned, Measured, Settled
from tests.routing.gate.traffic import changed


def test_observations_are_equal_where_all_that_they_say_is() -> None:
    assigned = Assigned("chat:1", 1, 7, (0.95, 0.05))
    settled = Settled("chat:1", 1, 7, (0.95, 0.05), "0" * 32, 0)
    measured = Measured("chat:1", 1, 7, (0.95, 0.05), "0" * 32, "thumbs_down", 1.0)
    for one in (assigned, settled, measured):
        assert one == changed(one) != changed(one, unit=8)
        assert hash(one) == hash(changed(one))
    assert settled != changed(settled, cost_usd=0.25)
    assert measured != changed(measured, value=0.0)
    assert assigned != settled
    assert repr(assigned) == "Assigned('chat:1', 1, 7, (0.95, 0.05))"


def test_flags_add_up() -> None:
    assert ERROR | ATTEMPT_FAILED | REFUSED | LENGTH_STOP == ERROR + ATTEMPT_FAILED + REFUSED + LENGTH_STOP == 15
