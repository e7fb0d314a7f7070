from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.failing.budget import RetryBudget


@settings(deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30), st.integers(0, 8)), max_size=40),
    per_request=st.sampled_from([0.0, 0.25, 1.0]),
    floor=st.sampled_from([0.0, 4.0, 16.0]),
    cap=st.sampled_from([1.0, 8.0, 64.0]),
)
def test_no_span_of_time_grants_more_than_was_promised(
    steps: list[tuple[int, int, int]], per_request: float, floor: float, cap: float
) -> None:
    budget = RetryBudget(per_request, floor, cap)
    now = 50.0
    history: list[tuple[float, int, int]] = []  # time, requests, granted
    for quarters, requests, asked in steps:
        now += quarters / 4
        for _ in range(requests):
            budget.deposit()
        history.append((now, requests, sum(budget.withdraw(now) for _ in range(asked))))
    for start in range(len(history)):
        granted = requests = 0
        for time, n, g in history[start:]:
            granted, requests = granted + g, requests + n
            assert granted <= cap + per_request * requests + floor * (time - history[start][0])


def test_the_floor_grants_retries_without_any_traffic() -> None:
    budget = RetryBudget(per_request=0.0, floor_per_s=10.0, cap=100.0)
    assert [budget.withdraw(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert [budget.withdraw(0.5) for _ in range(6)] == [True] * 5 + [False]


def test_five_requests_earn_one_retry() -> None:
    budget = RetryBudget(per_request=0.2, floor_per_s=0.0, cap=100.0)
    for _ in range(4):
        budget.deposit()
    assert not budget.withdraw(0.0)
    budget.deposit()
    assert [budget.withdraw(0.0), budget.withdraw(0.0)] == [True, False]


def test_a_clock_that_steps_back_earns_nothing() -> None:
    budget = RetryBudget(per_request=0.0, floor_per_s=1.0, cap=10.0)
    assert [budget.withdraw(now) for now in (10.0, 5.0, 10.0, 11.0)] == [True, False, False, True]
