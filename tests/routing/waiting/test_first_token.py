"""The line of a model that refuses what would miss its objective."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.facts import RequestFacts
from routing.waiting.admission import ADMITTED, Admission, AdmissionSettings, Reason, Refusal
from routing.waiting.first_token import FirstToken
from routing.waiting.returns import LEAST_RETRY_S, MOST_RETRY_S
from routing.waiting.turns import Ticket

SECONDS = st.floats(0.001, 100.0)


def asks(tenant: str = "") -> RequestFacts:
    facts = RequestFacts("chat", 100, 0)
    facts.tenant = tenant
    return facts


def first(comes_s: float, alone_s: float = 0.1, due_s: float = 0.5, one_s: float = 0.02) -> FirstToken:
    return FirstToken(due_s, comes_s, alone_s, one_s)


def refused(line: Admission, what: FirstToken, now: float = 0.0, tenant: str = "") -> Refusal:
    answer = line.offer(asks(tenant), None, now, room=True, first=what)
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.MISSES_OBJECTIVE
    return answer


@given(comes_s=SECONDS, alone_s=SECONDS, due_s=SECONDS)
def test_with_room_it_goes_just_where_it_is_in_time_or_as_soon_as_it_can_be(
    comes_s: float, alone_s: float, due_s: float
) -> None:
    what = first(comes_s, alone_s, due_s)
    answer = Admission(AdmissionSettings()).offer(asks(), None, 0.0, room=True, first=what)
    assert (answer is ADMITTED) is (comes_s <= max(due_s, alone_s))
    if isinstance(answer, Refusal):
        assert LEAST_RETRY_S <= answer.retry_after_s <= MOST_RETRY_S


def test_it_may_come_again_when_what_is_over_the_objective_has_gone() -> None:
    assert refused(Admission(AdmissionSettings()), first(3.9)).retry_after_s == pytest.approx(3.4)
    assert refused(Admission(AdmissionSettings()), first(0.6)).retry_after_s == LEAST_RETRY_S


def test_those_refused_together_come_one_after_the_other_by_tenant() -> None:
    line = Admission(AdmissionSettings())
    told = [refused(line, first(2.5), tenant="a").retry_after_s for _ in range(50)]
    assert told == pytest.approx([2.0 + 0.02 * number for number in range(50)])
    assert refused(line, first(2.5), tenant="b").retry_after_s == pytest.approx(2.0)


def test_without_room_it_waits_as_long_as_it_can_still_be_in_time_and_is_told_then() -> None:
    line = Admission(AdmissionSettings())
    ticket = line.offer(asks(), None, 7.0, room=False, first=first(0.3, alone_s=0.2))
    assert isinstance(ticket, Ticket)
    assert ticket.deadline_s == pytest.approx(7.3)
    line.withdraw(ticket)
    told = line.overdue(ticket, 7.3)
    assert (told.reason, told.retry_after_s >= LEAST_RETRY_S) == (Reason.MISSES_OBJECTIVE, True)


def test_an_objective_beyond_the_longest_wait_changes_nothing() -> None:
    line = Admission(AdmissionSettings(max_wait_s=5.0))
    ticket = line.offer(asks(), None, 0.0, room=False, first=first(0.3, due_s=60.0))
    assert isinstance(ticket, Ticket)
    assert ticket.deadline_s == 5.0
    line.withdraw(ticket)
    assert line.overdue(ticket, 5.0).reason is Reason.WAITED_TOO_LONG


@pytest.mark.parametrize(("takes_s", "waits"), [(0.3, True), (2.0, False)])
def test_whose_wait_in_line_is_foreseen_to_be_too_long_is_refused_at_once(takes_s: float, waits: bool) -> None:
    """One runs, which came just now and takes as long; the next one goes when it ends."""
    line = Admission(AdmissionSettings())
    line.started("runs", takes_s)
    answer = line.offer(asks(), None, 0.0, room=False, takes_s=takes_s, in_flight=1, first=first(0.1))
    assert isinstance(answer, Ticket) is waits
    if isinstance(answer, Refusal):
        assert answer.reason is Reason.MISSES_OBJECTIVE
        assert answer.retry_after_s == pytest.approx(2.0 + 0.1 - 0.5, rel=0.01)


def test_where_nobody_knows_how_long_those_ahead_take_it_waits() -> None:
    assert isinstance(Admission(AdmissionSettings()).offer(asks(), None, 0.0, room=False, first=first(0.1)), Ticket)
