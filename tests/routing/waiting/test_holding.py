"""Requests that wait for the first replica of an engine."""

from __future__ import annotations

import pytest

from routing.facts import RequestFacts
from routing.waiting.admission import Admission, AdmissionSettings, Reason, Refusal
from routing.waiting.holding import Holding
from routing.waiting.turns import Ticket

HOLDING = Holding(("e",), most_s=300.0, tokens=1000)


def facts(tokens: int = 100, tenant: str = "", deadline_s: float | None = None) -> RequestFacts:
    found = RequestFacts("chat", tokens, 0)
    found.tenant = tenant
    found.deadline_s = deadline_s
    return found


@pytest.fixture
def line() -> Admission:
    return Admission(AdmissionSettings(queue_tokens=50, tenant_ratio=0.5))


def test_it_waits_as_long_as_holding_says_and_no_longer_than_its_client(line: Admission) -> None:
    first, second = (line.hold(facts(deadline_s=at), None, 10.0, HOLDING, 30.0) for at in (None, 100.0))
    assert isinstance(first, Ticket)
    assert isinstance(second, Ticket)
    assert (first.deadline_s, second.deadline_s) == (310.0, 100.0)
    assert (line.waiting, line.waiting_prompt_tokens) == (2, 200)
    assert line.held() == [first, second]


def test_a_client_that_would_not_wait_is_told_when_it_serves(line: Admission) -> None:
    refused = line.hold(facts(deadline_s=40.0), None, 10.0, HOLDING, 45.0)
    assert refused == Refusal(Reason.STARTS_TOO_LATE, 45.0)
    assert line.waiting == 0


def test_what_waits_is_bounded_in_tokens_and_by_tenant(line: Admission) -> None:
    tickets = [line.hold(facts(300, tenant), None, 0.0, HOLDING, 30.0) for tenant in ("a", "a", "b", "b", "c")]
    assert [one if isinstance(one, Refusal) else "waits" for one in tickets] == [
        "waits",
        Refusal(Reason.TENANT_QUEUE_FULL, 30.0),
        "waits",
        Refusal(Reason.TENANT_QUEUE_FULL, 30.0),
        "waits",
    ]
    assert line.hold(facts(300, "d"), None, 0.0, HOLDING, 30.0) == Refusal(Reason.QUEUE_FULL, 30.0)


def test_whose_time_is_up_is_told_that_nothing_started_and_who_waits_for_room_that_all_is_full(line: Admission) -> None:
    held = line.hold(facts(), None, 0.0, HOLDING, 30.0)
    waits = line.offer(facts(10), None, 0.0, room=False)
    assert isinstance(held, Ticket)
    assert waits == Refusal(Reason.QUEUE_FULL, 1.0)  # the line for room has its own, smaller bound
    assert line.overdue(held, 300.0, starts_in_s=12.0) == Refusal(Reason.NEVER_STARTED, 12.0)
    line.withdraw(held)
    assert (line.held(), line.waiting, line.waiting_prompt_tokens) == ([], 0, 0)
