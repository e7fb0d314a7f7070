"""An arm is compared with its control of the same hour: what moves both is no drift, what moves one is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from routing.drift.control import AgainstControl
from routing.drift.reference import LEAST_WINDOWS
from routing.drift.signals import AMOUNTS
from routing.drift.watch import DriftWatch, Hour
from tests.routing.drift.hours import histogram, hour, week

SHIFT = 0.6
APART = 1.5
"""By which the arms differ for good, in standard deviations."""


@pytest.fixture(scope="module")
def judge() -> AgainstControl:
    rng = random.Random(1)
    return AgainstControl({at: (histogram(rng, 200, shift=APART), histogram(rng, 200)) for at in range(168)})


def test_a_shock_of_both_is_none_and_a_shift_of_one_is_found(judge: AgainstControl) -> None:
    rng = random.Random(2)
    both = judge.apart(histogram(rng, 500, shift=APART + SHIFT), histogram(rng, 500, shift=SHIFT))
    one = judge.apart(histogram(rng, 500, shift=APART + SHIFT), histogram(rng, 500))
    assert both is not None
    assert one is not None
    assert () == judge.alarms(both, [])
    assert ("mean",) == judge.alarms(one, [])
    assert 0.4 < one.mean < 0.8


def test_a_small_shift_is_found_in_six_hours(judge: AgainstControl) -> None:
    rng = random.Random(3)
    six = [judge.apart(histogram(rng, 200, shift=APART + 0.32), histogram(rng, 200)) for _ in range(6)]
    *before, last = [one for one in six if one is not None]
    assert "rolling" not in judge.alarms(last, before[:2])
    assert "rolling" in judge.alarms(last, before)


def test_too_little_says_nothing(judge: AgainstControl) -> None:
    rng = random.Random(4)
    assert judge.apart(histogram(rng, 5), histogram(rng, 500)) is None
    with pytest.raises(ValueError, match="both arms need"):
        AgainstControl({at: (histogram(rng, 20), histogram(rng, 20)) for at in range(LEAST_WINDOWS - 1)})
    same = histogram(rng, 20)
    with pytest.raises(ValueError, match="always differ by the same"):
        AgainstControl(dict.fromkeys(range(168), (same, same)))


def test_an_hour_of_the_week_is_compared_with_what_is_usual_on_its_other_days() -> None:
    """What is usual is estimated of the same week: with its own hours in it, each seems nearer than one to come."""
    rng = random.Random(5)
    week = {at: (histogram(rng, 200), histogram(rng, 200)) for at in range(168)}
    for at in range(24, 48):
        week[at] = histogram(rng, 200, shift=SHIFT), week[at][1]
    judge = AgainstControl(week)
    apart = {at: arm.mean_log - control.mean_log for at, (arm, control) in week.items()}
    others = [one for at, one in apart.items() if not 24 <= at < 48]
    day = [(apart[at] - sum(others) / len(others)) * 10.0 for at in range(24, 48)]
    alone = sum([one * one for one in day]) / 168
    assert judge._spread**2 > 0.93 * alone, "the other hours add to it"


def moved(told: Hour, rng: random.Random, shift: float) -> Hour:
    return replace(told, histograms=dict.fromkeys(AMOUNTS, histogram(rng, 400, shift=shift)))


def test_a_watch_with_a_control_hears_only_of_what_moves_its_own_arm() -> None:
    rng = random.Random(5)
    reference, control = week(rng), week(rng)
    alone, watch = DriftWatch(reference), DriftWatch(reference, control)
    assert (False, True) == (alone.against_control, watch.against_control)
    shocked = moved(hour(rng), rng, SHIFT)
    assert {alarm.signal for alarm in alone.hour(168, shocked)} == set(AMOUNTS)
    assert [] == watch.hour(168, shocked, moved(hour(rng), rng, SHIFT))
    alarms = watch.hour(169, moved(hour(rng), rng, SHIFT), moved(hour(rng), rng, 0.0))
    assert {alarm.signal for alarm in alarms} == set(AMOUNTS)
    assert "against the control arm the mean moved by +0." in alarms[0].sentence
    # An hour without the control is judged by the past.
    assert {alarm.signal for alarm in watch.hour(170, shocked)} == set(AMOUNTS)
