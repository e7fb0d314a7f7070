"""Releases on a simulated clock: what becomes of good ones and of bad ones, and what people may press."""

from __future__ import annotations

import dataclasses
import zoneinfo
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.gate.gate import HOLD, PROMOTE, ROLLBACK, Gate, Ruling
from routing.gate.rollout import (
    IDLE,
    PAUSED,
    PROMOTED,
    RAMPING,
    ROLLED_BACK,
    RampDecision,
    RampPlan,
    RampWindow,
    Rollout,
    Step,
    WrongMoment,
)
from tests.routing.gate.story import NOON, PLAN, STEPS, Story
from tests.routing.gate.traffic import Arm

FEW_ERRORS = Arm(errors=0.0)
WAITS = Ruling(HOLD, "nothing known")


def started(story: Story) -> Story:
    story.press(story.rollout.start)
    return story


def test_a_healthy_canary_is_ramped_and_promoted() -> None:
    story = started(Story(FEW_ERRORS, FEW_ERRORS))
    assert story.play(3_600) == ["advance", "advance", "promote"]
    assert (story.rollout.state, story.rollout.share) == (PROMOTED, 1.0)
    assert [(one.before, one.after) for one in story.done] == [(0.0, 0.05), (0.05, 0.25), (0.25, 0.5), (0.5, 1.0)]
    assert story.now_s >= 180


@pytest.mark.parametrize(
    ("canary", "why"),
    [
        (Arm(errors=0.04), "errors were the canary's"),
        (Arm(ttft_ms=320.0), "slow first tokens"),
        (Arm(cost_usd=0.0032), "expensive answers"),
    ],
)
def test_a_worse_one_is_rolled_back_with_the_reason(canary: Arm, why: str) -> None:
    control = dataclasses.replace(Arm(), errors=0.01)
    story = started(Story(canary, control))
    decided = story.play(3_600)
    assert decided[-1] == "rollback"
    assert "promote" not in decided
    assert (story.rollout.state, story.rollout.share) == (ROLLED_BACK, 0.0)
    assert why in story.done[-1].sentence


def test_a_dead_one_is_gone_before_it_has_hurt_many() -> None:
    story = started(Story(Arm(errors=1.0), FEW_ERRORS))
    assert story.play(60) == ["rollback"]
    assert story.requests[1] == 2


@pytest.mark.parametrize("rate_per_s", [0.0, 0.02])
def test_without_traffic_it_stays_where_it_is_and_somebody_is_told(rate_per_s: float) -> None:
    story = started(Story(rate_per_s=rate_per_s))
    assert story.play(10_000) == ["held"]
    assert story.rollout.share == 0.05
    assert "of 20 units of the canary were met in this step" in story.done[-1].sentence


def test_a_canary_that_flaps_is_rolled_back_once_and_for_all() -> None:
    story = started(Story(FEW_ERRORS, FEW_ERRORS))
    for phase in range(20):
        story.canary = Arm(errors=1.0) if phase % 2 and story.rollout.live else FEW_ERRORS
        story.play(10)
    assert [one.action for one in story.done] == ["start", "rollback"]


def test_started_again_it_has_evidence_anew() -> None:
    story = started(Story(Arm(errors=1.0), FEW_ERRORS))
    story.play(60)
    story.canary = FEW_ERRORS
    assert story.press(story.rollout.start).after == 0.05
    assert story.rollout.round == 2
    assert story.play(3_600)[-1] == "promote"


def test_a_restart_in_mid_ramp_goes_on_where_it_was() -> None:
    story = started(Story(FEW_ERRORS, FEW_ERRORS))
    story.play(90)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode([story.rollout.kept(), story.gate.state()]))
    story.rollout, story.gate = Rollout(PLAN), Gate(story.rails, sticky=False)
    story.rollout.restore(kept[0])
    story.gate.restore(kept[1])
    story.now_s = 5.0  # another process, another clock
    assert story.rollout.share == 0.25
    assert story.rollout.baked_s == pytest.approx(29, abs=2)
    assert story.play(3_600) == ["advance", "promote"]


def test_a_clock_that_steps_and_a_gate_that_slept_bake_nothing() -> None:
    story = started(Story(FEW_ERRORS, FEW_ERRORS))
    story.play(30)
    baked_s = story.rollout.baked_s
    story.now_s += 86_400.0
    story.wall += timedelta(days=1)
    assert story.play(1) == []
    assert story.rollout.baked_s <= baked_s + 5.0
    story.wall -= timedelta(days=400)
    assert story.play(60)[:1] == ["advance"]


def test_outside_the_windows_it_waits_and_still_rolls_back() -> None:
    morning = RampWindow(frozenset({0, 1, 2, 3, 4}), time(9), time(11), UTC)
    plan = RampPlan(STEPS, min_units=20, windows=(morning,))
    story = started(Story(FEW_ERRORS, FEW_ERRORS, plan))
    assert story.play(100) == []
    assert story.rollout.why == "outside the windows in which it may go on"
    story.canary = Arm(errors=1.0)
    assert story.play(600) == ["rollback"]


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        (NOON, True),
        (NOON.replace(hour=7, minute=59), False),
        (NOON.replace(hour=8), True),
        (NOON.replace(hour=16), False),
        (NOON + timedelta(days=5), False),
        (NOON.replace(hour=22) - timedelta(days=1), False),
    ],
)
def test_a_window_is_of_local_time(at: datetime, inside: bool) -> None:
    berlin = timezone(timedelta(hours=1))
    assert RampWindow(frozenset({0}), time(9), time(17), berlin).holds(at) == inside


def test_a_window_until_midnight() -> None:
    late = RampWindow(frozenset({0}), time(20), time(0), UTC)
    assert late.holds(NOON.replace(hour=23, minute=59))
    assert not late.holds(NOON + timedelta(hours=12))


@pytest.mark.parametrize(
    ("day", "clock", "inside"),
    [
        (2, time(21, 59), False),
        (2, time(22), True),
        (3, time(5, 59), True),
        (3, time(6), False),
        (3, time(22), False),
        (2, time(5, 59), False),
    ],
)
def test_a_window_over_midnight_is_of_the_day_on_which_it_begins(day: int, clock: time, inside: bool) -> None:
    night = RampWindow(frozenset({0}), time(22), time(6), UTC)
    assert night.holds(datetime(2026, 3, day, clock.hour, clock.minute, tzinfo=UTC)) == inside


def test_a_window_keeps_its_clock_when_summer_time_begins_and_ends() -> None:
    night = RampWindow(frozenset({5}), time(22), time(6), zoneinfo.ZoneInfo("Europe/Berlin"))
    for month, day, first, last in ((3, 28, 21, 4), (10, 24, 20, 5)):  # UTC, of 22:00 and of 06:00 the day after
        begins = datetime(2026, month, day, first, tzinfo=UTC)
        ends = datetime(2026, month, day + 1, last, tzinfo=UTC)
        minute = timedelta(minutes=1)
        assert [night.holds(at) for at in (begins - minute, begins, ends - minute, ends)] == [False, True, True, False]


def test_paused_it_stays_and_still_rolls_back() -> None:
    story = started(Story(FEW_ERRORS, FEW_ERRORS))
    story.press(story.rollout.pause)
    assert story.play(100) == []
    assert (story.rollout.state, story.rollout.share) == (PAUSED, 0.05)
    story.canary = Arm(errors=1.0)
    assert story.play(600) == ["rollback"]


def test_resumed_it_goes_on() -> None:
    story = started(Story(FEW_ERRORS, FEW_ERRORS))
    story.press(story.rollout.pause)
    story.play(100)
    story.press(story.rollout.resume)
    assert story.play(3_600)[-1] == "promote"
    assert [one.by for one in story.done[:3]] == ["alice"] * 3


def test_what_people_press_is_done_whatever_the_evidence() -> None:
    story = started(Story())
    assert story.press(story.rollout.promote).after == 1.0
    assert story.rollout.state == PROMOTED
    assert story.press(story.rollout.abort).after == 0.0
    assert story.rollout.state == ROLLED_BACK


def test_what_makes_no_sense_is_refused_with_a_reason() -> None:
    rollout = Rollout(PLAN)
    for button, why in ((rollout.pause, "it is idle"), (rollout.resume, "it is idle")):
        with pytest.raises(WrongMoment, match=why):
            button("alice")
    rollout.done(rollout.start("alice"))
    with pytest.raises(WrongMoment, match="it is ramping already"):
        rollout.start("alice")
    rollout.done(rollout.promote("alice"))
    with pytest.raises(WrongMoment, match="promoted already"):
        rollout.promote("alice")
    rollout.done(rollout.abort("alice"))
    with pytest.raises(WrongMoment, match="rolled back already"):
        rollout.abort("alice")
    with pytest.raises(WrongMoment, match="has no steps"):
        Rollout(RampPlan(())).start("alice")


def test_without_steps_the_gate_can_only_roll_back() -> None:
    rollout = Rollout(RampPlan(()), share=0.3)
    assert (rollout.state, rollout.share) == (RAMPING, 0.3)
    assert rollout.look(Ruling(PROMOTE, "good"), 10**6, 10**6, NOON) is None
    decision = rollout.look(Ruling(ROLLBACK, "bad"), 0, 10**6, NOON)
    assert decision == RampDecision("rollback", 0.3, 0.0, "bad")


def test_a_hold_that_stops_keeps_every_step() -> None:
    rollout = Rollout(RampPlan((Step(0.1, 0.0), Step(0.2, 0.0)), min_units=0))
    rollout.done(rollout.start("alice"))
    assert rollout.look(Ruling(HOLD, "broken", True), 10, 1.0, NOON) is None
    assert rollout.why == "broken"
    due = rollout.look(WAITS, 10, 2.0, NOON)
    assert due is not None
    assert (due.action, due.sentence) == ("advance", "nothing speaks against it at 10 % of the units")


def test_a_last_step_of_all_units_is_the_promotion() -> None:
    rollout = Rollout(RampPlan((Step(0.1, 0.0), Step(1.0, 0.0)), min_units=0))
    rollout.done(rollout.start("alice"))
    assert rollout.look(WAITS, 10, 1.0, NOON) is None
    due = rollout.look(Ruling(PROMOTE, "good"), 10, 2.0, NOON)
    assert due == RampDecision("promote", 0.1, 1.0, "good")


def test_a_plan_with_fewer_steps_goes_on_at_its_last() -> None:
    rollout = Rollout(PLAN)
    rollout.done(rollout.start("alice"))
    for _ in range(2):
        rollout.done(RampDecision("advance", 0.05, 0.5, ""))
    again = Rollout(RampPlan(STEPS[:1]))
    again.restore(rollout.kept())
    assert (again.step, again.share) == (0, 0.5)


def test_a_plan_with_steps_in_between_takes_no_unit_back() -> None:
    rollout = Rollout(PLAN)
    rollout.done(rollout.start("alice"))
    rollout.done(RampDecision("advance", 0.05, 0.25, ""))
    rollout.use(RampPlan([Step(share, 0.0) for share in (0.01, 0.05, 0.1, 0.25, 0.3)], min_units=0))
    assert (rollout.step, rollout.share) == (3, 0.25)
    rollout.look(WAITS, 10, 1.0, NOON)
    due = rollout.look(WAITS, 10, 2.0, NOON)
    assert due == RampDecision("advance", 0.25, 0.3, "nothing speaks against it at 25 % of the units")


def test_a_fixed_share_that_is_given_steps_goes_through_those_above_it() -> None:
    rollout = Rollout(RampPlan(()), share=0.05)
    rollout.use(RampPlan((Step(0.1, 0.0), Step(0.5, 0.0)), min_units=0))
    shares = []
    for second in range(1, 5):
        due = rollout.look(WAITS, 10, float(second), NOON)
        if due is not None:
            rollout.done(due)
            shares.append((due.after, rollout.step))
    assert shares == [(0.1, 0), (0.5, 1)]


def test_who_is_against_the_next_step_is_asked_again_and_somebody_is_told() -> None:
    rollout = Rollout(RampPlan((Step(0.1, 0.0),), min_units=0, max_hold_s=3.0))
    rollout.done(rollout.start("alice"))
    good = Ruling(PROMOTE, "good")
    actions = []
    for second in range(7):
        due = rollout.look(good, 10, float(second), NOON, "confirm-promotion: http://h/ answered 403")
        assert due is not None
        actions.append(due.action)
        if due.action == "held":
            assert due.sentence == "held for 4 s: confirm-promotion: http://h/ answered 403"
            rollout.done(due)
    assert actions == ["promote"] * 4 + ["held"] + ["promote"] * 2


buttons = st.sampled_from(["start", "pause", "resume", "promote", "abort"])
looks = st.tuples(st.sampled_from([ROLLBACK, HOLD, PROMOTE]), st.integers(0, 200), st.floats(0.0, 50.0))


@settings(deadline=None, max_examples=50)
@given(st.lists(buttons | looks, max_size=60))
def test_whatever_is_pressed_and_seen_the_share_only_goes_up_by_its_steps_or_to_the_ends(
    happens: list[Any],
) -> None:
    rollout, now_s = Rollout(PLAN), 0.0
    allowed = {0.0, 1.0, *(step.share for step in STEPS)}
    for one in happens:
        before = rollout.share
        if isinstance(one, str):
            try:
                decision: RampDecision | None = getattr(rollout, one)("alice")
            except WrongMoment:
                decision = None
        else:
            now_s += one[2]
            decision = rollout.look(Ruling(one[0], one[0]), one[1], now_s, NOON)
            if one[0] == ROLLBACK and before > 0.0 and rollout.state in (RAMPING, PAUSED):
                assert decision is not None
                assert decision.after == 0.0
        if decision is not None:
            rollout.done(decision)
            if not isinstance(one, str):
                assert decision.after == 0.0 or decision.after >= before
                assert decision.action != "promote" or one[0] == PROMOTE
        assert rollout.share in allowed
        assert (rollout.share == 0.0) == (rollout.state in (IDLE, ROLLED_BACK))
        assert (rollout.share == 1.0) == (rollout.state == PROMOTED)
        again = Rollout(PLAN)
        again.restore(rollout.kept())
        assert again.kept() == rollout.kept()
