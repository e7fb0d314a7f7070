"""An observation is of the round in which its request came, whatever clocks do meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.gate.observation import Assigned, Measured, Settled
from routing.gate.rollout import RampDecision, RampPlan, Rollout, Step
from routing.gate.rounds import SKEW_MS, Round, boundary_ms
from tests.routing.gate.traffic import changed

NOON_MS = 1_780_000_000_000


def came(at_ms: float) -> Settled:
    return Settled("e1", 1, 1, (0.9, 0.1), f"{int(at_ms):012x}70008000000000000001", 0)


@pytest.mark.parametrize(
    ("ended_s", "began_s", "boundary_s"), [(0, 10, 5), (0, 3600, SKEW_MS // 1000), (0, 0, 0), (10, 0, 10)]
)
def test_the_boundary_lies_between_two_ramps(ended_s: int, began_s: int, boundary_s: int) -> None:
    assert boundary_s * 1000 == boundary_ms(ended_s * 1000, began_s * 1000)


def test_of_the_first_round_is_everything() -> None:
    first = Round(0)
    first.at(5.0, NOON_MS / 1e3)
    assert first.has(came(0))


def test_what_came_before_is_of_the_round_before_and_what_is_only_assigned_of_now() -> None:
    second = Round(NOON_MS)
    second.at(100.0, NOON_MS / 1e3 + 30)
    assert [False, True] == [second.has(came(NOON_MS + difference)) for difference in (-1, 1)]
    assert not second.has(Measured("e1", 1, 1, (0.9, 0.1), came(NOON_MS - 1).record_id, "thumbs_up", 0.0))
    assert second.has(Assigned("e1", 1, 1, (0.9, 0.1)))
    assert second.has(changed(came(0), record_id="no id of ours"))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 600), st.floats(-7200, 7200)), max_size=20))
def test_no_step_of_the_clock_makes_a_request_of_now_one_of_before(steps: list[tuple[float, float]]) -> None:
    second, now_s, wall_s = Round(NOON_MS), 50.0, NOON_MS / 1e3 + 1
    second.at(now_s, wall_s)
    for passed_s, stepped_s in steps:
        now_s, wall_s = now_s + passed_s, wall_s + passed_s + stepped_s
        second.at(now_s, wall_s)
        assert second.has(came(wall_s * 1e3 + 1))


def test_a_ramp_that_is_started_again_begins_between_the_two() -> None:
    ramp = Rollout(RampPlan([Step(0.1)]))
    ramp.done(ramp.start("alice"), NOON_MS)
    assert 0 == ramp.since_ms
    ramp.done(RampDecision("rollback", 0.1, 0.0, "bad"), NOON_MS + 60_000)
    ramp.done(ramp.start("alice"), NOON_MS + 80_000)
    assert (2, NOON_MS + 70_000) == (ramp.round, ramp.since_ms)
    again = Rollout(RampPlan([Step(0.1)]))
    again.restore(ramp.kept())
    assert ramp.kept() == again.kept()
