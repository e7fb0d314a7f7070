"""What keys have spent: of this day and this month, of a bounded number of keys, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounts.spending import MOST_KEYS, Spending

MAY_30_S = datetime(2026, 5, 30, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400.0


def read(spending: Spending, now_s: float) -> dict[tuple[str, ...], float]:
    return {labels: usd for labels, usd in spending.reading(now_s) if usd}


def test_a_request_counts_for_its_day_and_its_month() -> None:
    spending = Spending()
    spending.add("app", "shop", 0.5, 0.5, MAY_30_S)
    spending.add("app", "shop", 0.25, 0.25, MAY_30_S + DAY_S)
    spending.add("lab", "shop", 1.0, 1.0, MAY_30_S + DAY_S)
    assert read(spending, MAY_30_S + DAY_S) == {
        ("app", "shop", "day"): 0.25,
        ("app", "shop", "month"): 0.75,
        ("lab", "shop", "day"): 1.0,
        ("lab", "shop", "month"): 1.0,
    }


def test_a_day_ends_without_a_request() -> None:
    spending = Spending()
    spending.add("app", "shop", 0.5, 0.5, MAY_30_S)
    assert read(spending, MAY_30_S + DAY_S) == {("app", "shop", "month"): 0.5}
    assert read(spending, MAY_30_S + 2 * DAY_S) == {}


def test_a_key_of_two_tenants_is_two() -> None:
    spending = Spending()
    spending.add("app", "shop", 1.0, 1.0, MAY_30_S)
    spending.add("app", "lab", 2.0, 2.0, MAY_30_S)
    assert {labels[1]: usd for labels, usd in read(spending, MAY_30_S).items()} == {"shop": 1.0, "lab": 2.0}


def test_keys_beyond_the_bound_are_counted_together() -> None:
    spending = Spending()
    for number in range(MOST_KEYS + 5):
        spending.add(f"k{number}", "t", 1.0, 1.0, MAY_30_S)
    spending.add("k0", "t", 1.0, 1.0, MAY_30_S)
    found = read(spending, MAY_30_S)
    assert len(found) == 2 * (MOST_KEYS + 1)
    assert (found["other", "other", "day"], found["k0", "t", "day"]) == (5.0, 2.0)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9), st.integers(0, 70 * 24)), max_size=30))
@settings(deadline=None)
def test_what_was_spent_in_a_day_and_a_month_adds_up(requests: list[tuple[str, int, int]]) -> None:
    """Against a plain sum, with a clock that does not run backwards."""
    spending = Spending()
    requests = sorted(requests, key=lambda one: one[2])
    for key, usd, hour in requests:
        spending.add(key, "t", float(usd), float(usd), MAY_30_S + hour * 3600.0)
    now_s = MAY_30_S + (requests[-1][2] if requests else 0) * 3600.0

    def spent(key: str, form: str) -> float:
        period = datetime.fromtimestamp(now_s, UTC).strftime(form)
        when = [(usd, datetime.fromtimestamp(MAY_30_S + hour * 3600.0, UTC)) for k, usd, hour in requests if k == key]
        return float(sum(usd for usd, at in when if at.strftime(form) == period))

    found = read(spending, now_s)
    for key in "ab":
        assert found.get((key, "t", "day"), 0.0) == spent(key, "%Y-%m-%d")
        assert found.get((key, "t", "month"), 0.0) == spent(key, "%Y-%m")


def test_a_clock_that_is_set_back_a_day_begins_that_day_again() -> None:
    spending = Spending()
    spending.add("app", "shop", 0.5, 0.5, MAY_30_S)
    spending.add("app", "shop", 0.25, 0.25, MAY_30_S - DAY_S)
    assert read(spending, MAY_30_S - DAY_S) == {("app", "shop", "day"): 0.25, ("app", "shop", "month"): 0.75}
