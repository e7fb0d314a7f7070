"""Each law is broken by what it forbids, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtests.chaos.laws import Figures, laws, render
from loadtests.chaos.ledger import Account

GOOD = Figures(
    account=Account(asked=100, answered=90, lines=95, lost=0, excused=2, doubled=0),
    dropped_lines=0,
    hung=0,
    in_flight=0,
    descriptors_before={"pipe": 10, "tcp": 30},
    descriptors_after={"pipe": 11, "tcp": 27},
    memory_growth_mib=3.0,
    workers=2,
    workers_wanted=2,
    stdout_wait_s=0.2,
    stderr_wait_s=0.3,
    recovered_ratio=1.0,
    unread_ratio=1.0,
    stop_s=2.0,
    stop_code=0,
)


def broken(figures: Figures) -> list[str]:
    return [law.says for law in laws(figures) if not law.held]


def test_a_good_end_breaks_no_law() -> None:
    assert broken(GOOD) == []


@pytest.mark.parametrize(
    ("change", "law"),
    [
        ({"account": replace(GOOD.account, lost=1)}, "no access line is lost"),
        ({"account": replace(GOOD.account, doubled=1)}, "no access line is doubled"),
        ({"hung": 1}, "every request comes to an end"),
        ({"in_flight": 1}, "nothing is in flight"),
        ({"in_flight": float("inf")}, "nothing is in flight"),
        ({"descriptors_after": {"pipe": 10, "socket": 3, "tcp": 30}}, "descriptors are as before"),
        ({"memory_growth_mib": 96.8}, "memory is flat"),
        ({"workers": 1}, "every worker is there"),
        ({"stdout_wait_s": 4.8}, "an unread log stream holds nothing"),
        ({"stderr_wait_s": 4.8}, "an unread log stream holds nothing"),
        ({"recovered_ratio": 0.98}, "it serves again as before"),
        ({"unread_ratio": 0.0}, "it goes on when its log has lost its reader"),
        ({"stop_s": 20.0}, "it stops, although nobody reads its logs"),
        ({"stop_code": None}, "it stops, although nobody reads its logs"),
    ],
)
def test_each_law_is_broken_by_what_it_forbids(change: dict[str, object], law: str) -> None:
    assert broken(replace(GOOD, **change)) == [law]  # type: ignore[arg-type] # fields by name


def test_a_line_that_was_dropped_and_counted_is_not_lost() -> None:
    account = replace(GOOD.account, lost=7)
    assert broken(replace(GOOD, account=account, dropped_lines=7)) == []
    assert broken(replace(GOOD, account=account, dropped_lines=6)) == ["no access line is lost"]


@pytest.mark.parametrize(("kind", "lasts"), [("socket", True), ("pipe", False)])
def test_a_link_to_the_store_that_each_worker_opens_late_is_no_leak(kind: str, lasts: bool) -> None:
    before = {"pipe": 10, "socket": 8}
    figures = replace(GOOD, descriptors_before=before, descriptors_after={**before, kind: before[kind] + 2})
    assert (broken(figures) == []) == lasts


def test_the_table_says_what_was_found() -> None:
    text = render(laws(replace(GOOD, hung=3)))
    kinds = "40 before, 38 after, +1 pipe, -3 tcp"
    assert f"  held    descriptors are as before                    {kinds}" in text.splitlines()
    assert "  BROKEN  every request comes to an end                3 did not" in text.splitlines()
    assert len(text.splitlines()) == 11
