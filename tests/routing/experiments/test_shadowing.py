"""Which units are copied, and that no hour costs more than it may."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.experiments.assignment import bucket_of, unit_hash
from routing.experiments.shadowing import HOUR_S, SLOT_S, HourlyBudget, ShadowSample


def test_the_published_vector_of_docs_is_what_is_computed() -> None:
    bucket = bucket_of(unit_hash("shadow", "chat/shadow", "alice"))
    assert bucket == 732_680
    assert not ShadowSample("shadow", "chat/shadow", 0.73268).takes("alice")
    assert ShadowSample("shadow", "chat/shadow", 0.732681).takes("alice")


@given(st.floats(0, 1), st.floats(0, 1), st.text(max_size=20))
@settings(deadline=None, max_examples=100)
def test_a_larger_share_copies_all_that_a_smaller_one_did(one: float, other: float, unit: str) -> None:
    small, large = sorted((one, other))
    assert ShadowSample("s", "l", large).takes(unit) or not ShadowSample("s", "l", small).takes(unit)


def test_a_share_of_nothing_copies_nobody_and_one_of_all_everybody() -> None:
    units = [f"u{number}" for number in range(500)]
    assert not any(ShadowSample("s", "l", 0.0).takes(unit) for unit in units)
    assert all(ShadowSample("s", "l", 1.0).takes(unit) for unit in units)
    taken = sum(ShadowSample("s", "l", 0.2).takes(unit) for unit in units)
    assert 60 <= taken <= 140


COPIES = st.lists(
    st.tuples(st.floats(0, 900), st.floats(0, 3), st.floats(0, 1), st.floats(0, 500)), min_size=1, max_size=40
)
"""Of each: seconds since the one before, what is put aside, which part of it is spent, and how long it runs."""


@given(st.floats(0.5, 10), COPIES)
@settings(deadline=None, max_examples=100)
def test_no_hour_costs_more_than_its_limit_while_copies_cost_what_was_put_aside(
    limit: float, copies: list[tuple[float, float, float, float]]
) -> None:
    budget = HourlyBudget(limit)
    now = 1000.0
    running: list[tuple[float, float, float]] = []
    paid: list[tuple[float, float]] = []
    for gap, reserved, part, lasts in copies:
        now += gap
        for ends, aside, usd in sorted(one for one in running if one[0] <= now):
            budget.settle(aside, usd, ends)
            paid.append((ends, usd))
        running = [one for one in running if one[0] > now]
        if budget.reserve(reserved, now):
            running.append((now + lasts, reserved, reserved * part))
    for ends, aside, usd in sorted(running):
        budget.settle(aside, usd, ends)
        paid.append((ends, usd))
    for start, _ in paid:
        assert sum(usd for at, usd in paid if start <= at < start + HOUR_S) <= limit + 1e-9


def test_what_was_spent_is_let_go_after_an_hour_and_what_is_put_aside_only_when_it_is_settled() -> None:
    budget = HourlyBudget(1.0)
    assert budget.reserve(0.75, 0.0)
    assert not budget.reserve(0.5, HOUR_S * 3)
    budget.settle(0.75, 0.25, HOUR_S * 3)
    assert budget.spent_usd(HOUR_S * 3) == 0.25
    assert budget.spent_usd(HOUR_S * 4 + SLOT_S - 1) == 0.25
    assert budget.spent_usd(HOUR_S * 4 + SLOT_S) == 0.0
    assert budget.usual_usd == 0.25


def test_of_a_copy_that_nobody_knows_the_cost_of_all_that_was_put_aside_is_spent_and_nothing_else_learned() -> None:
    budget = HourlyBudget(1.0)
    assert budget.reserve(0.75, 0.0)
    budget.settle(0.75, 0.125, 0.0, at_least=True)
    assert (budget.spent_usd(0.0), budget.usual_usd) == (0.75, 0.125)
    assert budget.reserve(0.125, 0.0)
    budget.settle(0.125, 0.25, 0.0, at_least=True)
    assert budget.spent_usd(0.0) == 1.0
