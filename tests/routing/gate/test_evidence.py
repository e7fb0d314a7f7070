"""Evidence: fair under its null whatever the share, enough against what is worse, and each unit counts once."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.gate.ceiling import CeilingEvidence, clean_requests_needed
from routing.gate.evidence import (
    Evidence,
    FirstEvents,
    against_no_worse,
    against_worse,
    canary_share,
)
from tests.routing.gate.simulated import delay, false_alarms

shares = st.floats(0.001, 0.999)


@pytest.mark.parametrize(
    ("share", "ratio", "expected"), [(0.5, 1.0, 0.5), (0.05, 1.0, 0.05), (0.05, 3.0, 15 / 110), (0.5, 2.0, 2 / 3)]
)
def test_the_canarys_part_of_events(share: float, ratio: float, expected: float) -> None:
    assert canary_share(share, ratio) == pytest.approx(expected)


@settings(deadline=None, max_examples=50)
@given(st.booleans(), shares, st.floats(0.0, 1.0), st.lists(st.tuples(st.booleans(), shares), max_size=20))
def test_no_bet_wins_on_average_under_the_null(
    rollback: bool, share: float, within: float, before: list[tuple[bool, float]]
) -> None:
    evidence, again = (against_no_worse() if rollback else against_worse() for _ in range(2))
    for canary, then in before:
        evidence.event(canary, then)
        again.event(canary, then)
    start = evidence.log_value
    # Any ratio on the null's side of it, up to it.
    ratio = evidence.null * within if rollback else evidence.null / max(within, 1e-3)
    probability = canary_share(share, ratio)
    evidence.event(True, share)
    again.event(False, share)
    expected = probability * math.exp(evidence.log_value - start) + (1 - probability) * math.exp(
        again.log_value - start
    )
    assert expected <= 1 + 1e-9


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), shares), max_size=20), shares)
def test_an_event_of_the_canary_speaks_for_a_rollback_and_one_of_the_control_against_it(
    before: list[tuple[bool, float]], share: float
) -> None:
    for canary in (True, False):
        worse, better = against_no_worse(), against_worse()
        for event in before:
            worse.event(*event)
            better.event(*event)
        at = worse.log_value, better.log_value
        worse.event(canary, share)
        better.event(canary, share)
        assert (worse.log_value > at[0]) == canary
        assert (better.log_value < at[1]) == canary


def test_a_dead_canary_is_gone_after_its_second_request() -> None:
    evidence = against_no_worse()
    ends = []
    for _ in range(2):
        evidence.event(True, 0.05)
        ends.append(evidence.rejects(0.05))
    assert ends == [False, True]


def test_what_is_no_worse_is_seldom_rolled_back_however_often_one_looks() -> None:
    for share, base in ((0.5, 0.01), (0.05, 0.05), (0.01, 0.01)):
        assert false_alarms(share, base, 100, seed=3, requests=10_000) <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


@pytest.mark.parametrize(
    ("share", "base", "ratio", "tolerance", "published"),
    [(0.05, 0.01, 3.0, 1.0, 262), (0.05, 0.01, 3.0, 1.1, 373), (0.05, 0.01, 2.0, 1.0, 990), (0.01, 0.01, 5.0, 1.0, 98)],
)
def test_what_is_worse_is_found_in_time(
    share: float, base: float, ratio: float, tolerance: float, published: int
) -> None:
    found = delay(share, base, ratio, 100, seed=5, tolerance=tolerance)
    assert 0.7 * published <= found <= 1.3 * published


def test_evidence_for_a_promotion_comes_from_the_controls_events() -> None:
    evidence = against_worse(1.5)
    events = 0
    while not evidence.rejects(0.05):
        events += 1
        evidence.event(events % 2 == 0, 0.5)  # the canary has as many as the control
    assert 50 < events < 400


def test_clean_requests_are_enough_where_events_are_too_rare() -> None:
    assert clean_requests_needed(0.01, 0.05) == 299
    evidence = CeilingEvidence(0.01)
    while not evidence.rejects(0.05):
        evidence.unit(False)
    assert evidence.units == 309


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), max_size=50), st.floats(0.01, 1.0))
def test_no_bet_against_the_ceiling_wins_on_average_above_it(before: list[bool], rate: float) -> None:
    after = {event: CeilingEvidence(0.01) for event in (True, False)}
    for event, evidence in after.items():
        for one in [*before, event]:
            evidence.unit(one)
    now = CeilingEvidence(0.01)
    for one in before:
        now.unit(one)
    growth = {event: math.exp(evidence.log_value - now.log_value) for event, evidence in after.items()}
    assert rate * growth[True] + (1 - rate) * growth[False] <= 1 + 1e-9


def test_one_event_is_not_the_end_of_a_promotion_by_the_ceiling() -> None:
    evidence = CeilingEvidence(0.01)
    evidence.unit(True)
    for _ in range(2_000):
        evidence.unit(False)
    assert evidence.rejects(0.05)


def test_units_beyond_what_can_be_remembered_have_no_event() -> None:
    first = FirstEvents(most=3)
    assert [first.is_first(unit) for unit in (1, 2, 1, 3, 4, 5, 4)] == [True, True, False, True, False, False, False]
    assert (len(first), first.full) == (3, True)


@pytest.mark.parametrize(("null", "alternatives"), [(1.0, []), (1.0, [0.5, 2.0]), (0.0, [1.0]), (1.0, [-1.0])])
def test_a_bet_must_be_on_one_side(null: float, alternatives: list[float]) -> None:
    with pytest.raises(ValueError, match="ratio"):
        Evidence(null, alternatives)


def test_a_unit_has_one_event() -> None:
    first = FirstEvents([7])
    assert [first.is_first(unit) for unit in (7, 8, 8, 9)] == [False, True, False, True]
    assert len(first) == 3
    assert 8 in first
    assert [FirstEvents.of(first.state()).is_first(unit) for unit in (7, 2**64 - 1)] == [False, True]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), shares), max_size=20), st.tuples(st.booleans(), shares))
def test_evidence_goes_on_from_its_state(before: list[tuple[bool, float]], event: tuple[bool, float]) -> None:
    evidence, again = against_no_worse(), against_no_worse()
    for one in before:
        evidence.event(*one)
    again.restore(evidence.state())
    evidence.event(*event)
    again.event(*event)
    assert again.log_value == evidence.log_value
    with pytest.raises(ValueError, match="other alternatives"):
        against_worse().restore(evidence.state())
