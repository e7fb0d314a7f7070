"""Every answered request has one line: what is missing is lost, unless a kill explains it, and twice is too often."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.chaos.ledger import Account, Ledger


def test_answers_and_lines_that_match_leave_nothing() -> None:
    ledger = Ledger()
    for name in ("a", "b"):
        ledger.ask(name)
        ledger.answer(name, 1.0)
        ledger.line(name)
    assert ledger.account([]) == Account(asked=2, answered=2, lines=2, lost=0, excused=0, doubled=0)


def test_a_missing_line_is_lost_unless_a_worker_was_killed_around_its_answer() -> None:
    ledger = Ledger()
    for name, at_s in (("long before", 8.9), ("just before", 9.1), ("just after", 10.4), ("long after", 10.6)):
        ledger.ask(name)
        ledger.answer(name, at_s)
    account = ledger.account([10.0])
    assert (account.lost, account.excused) == (2, 2)


def test_one_whose_client_left_may_have_a_line_or_none_and_never_two() -> None:
    ledger = Ledger()
    for name, lines in (("none", 0), ("one", 1), ("two", 2)):
        ledger.ask(name)
        for _ in range(lines):
            ledger.line(name)
    account = ledger.account([])
    assert (account.lost, account.doubled, account.lines) == (0, 1, 3)


def test_lines_of_others_are_not_ours() -> None:
    ledger = Ledger()
    for name in ("", "", "somebody"):
        ledger.line(name)
    assert ledger.account([]) == Account(0, 0, 0, 0, 0, 0)
    assert ledger.lines == 3


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3))))
def test_whatever_happens_the_counts_add_up(requests: list[tuple[bool, int]]) -> None:
    ledger = Ledger()
    for number, (answered, lines) in enumerate(requests):
        ledger.ask(str(number))
        if answered:
            ledger.answer(str(number), 0.0)
        for _ in range(lines):
            ledger.line(str(number))
    account = ledger.account([])
    assert account.lost == sum(answered and not lines for answered, lines in requests)
    assert account.doubled == sum(lines > 1 for _, lines in requests)
    assert account.lines == sum(lines for _, lines in requests)
