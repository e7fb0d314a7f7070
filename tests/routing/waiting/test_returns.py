"""What one that is refused is told, on a simulated clock: when it may come again."""

from __future__ import annotations

import pytest

from routing.facts import RequestFacts
from routing.waiting.admission import Admission, AdmissionSettings, Reason, Refusal
from routing.waiting.returns import LEAST_RETRY_S, MOST_RETRY_S, Returns
from routing.waiting.turns import Ticket

TOKENS = 100


def asks(tenant: str = "", tokens: int = TOKENS, priority: int = 0, deadline_s: float | None = None) -> RequestFacts:
    facts = RequestFacts("chat", tokens, 0)
    facts.tenant, facts.priority, facts.deadline_s = tenant, priority, deadline_s
    return facts


def refused(
    line: Admission, now: float, tenant: str = "", takes_s: float = 0.0, in_flight: int = 0, priority: int = 0
) -> Refusal:
    facts = asks(tenant, priority=priority)
    answer = line.offer(facts, None, now, room=False, takes_s=takes_s, in_flight=in_flight)
    assert isinstance(answer, Refusal)
    return answer


def waits(line: Admission, now: float, tenant: str = "") -> Ticket:
    answer = line.offer(asks(tenant), None, now, room=False)
    assert isinstance(answer, Ticket)
    return answer


def moving(per_s: float = 1.0, tenants: str = "a", places: int = 10, settings: float = 60.0) -> tuple[Admission, float]:
    """A line that is full, and from which so many requests a second have gone for 30 s; and the time now."""
    line = Admission(AdmissionSettings(queue_tokens=TOKENS * places, tenant_ratio=1.0, max_wait_s=settings))
    for number in range(places):
        waits(line, 0.0, tenants[number % len(tenants)])
    now = 0.0
    for _ in range(int(30 * per_s)):
        now += 1.0 / per_s
        ticket = line.next(now)
        assert ticket is not None
        waits(line, now, ticket.tenant)
    return line, now


def test_it_is_told_when_what_waits_will_have_gone() -> None:
    line, now = moving(per_s=0.5)
    assert refused(line, now).retry_after_s == pytest.approx(20.0, rel=0.01)


def test_those_who_come_back_as_told_are_let_in_whoever_was_told_the_same_moment() -> None:
    """A burst of 60 at a full line of 10, one of which goes each second: all would come after 10 s, and 50 in vain."""
    line, now = moving()
    due = sorted([now + refused(line, now).retry_after_s for _ in range(40)])
    assert len({round(at) for at in due}) == 40
    let_in = 0
    for at in due:
        while now + 1.0 <= at:
            now += 1.0
            line.next(now)
        let_in += isinstance(line.offer(asks(), None, at, room=False), Ticket)
    assert let_in == 40


def test_while_nothing_goes_the_wait_becomes_longer() -> None:
    line, now = moving(settings=600.0)
    told = [
        refused(line, now + stalled_s, f"tenant {stalled_s}").retry_after_s for stalled_s in (0.0, 2.0, 20.0, 300.0)
    ]
    assert told == sorted(told)
    assert told[0] == pytest.approx(10.0, rel=0.01)
    assert told[1] < 12.0  # one that takes twice as long as usual is no stall
    assert told[3] > 60.0


def test_a_pace_of_long_ago_is_not_a_stall_of_now() -> None:
    line, now = moving()
    while line.next(now) is not None:
        now += 1.0
    for _ in range(10):
        waits(line, now + 7200.0)
    assert refused(line, now + 7200.5).retry_after_s == pytest.approx(10.0, rel=0.2)


def test_a_tenant_whose_part_is_full_waits_for_its_part_of_the_pace() -> None:
    line = Admission(AdmissionSettings(queue_tokens=TOKENS * 40, tenant_ratio=0.25))
    for _ in range(10):
        for tenant in "abcd":
            waits(line, 0.0, tenant)
    now = 0.0
    while line.waiting > 36:
        now += 1.0
        line.next(now)
    waits(line, now, "a")
    answer = refused(line, now, "a")
    assert answer.reason is Reason.TENANT_QUEUE_FULL
    assert answer.retry_after_s == pytest.approx(37.0, rel=0.01)  # its ten go in turn with those of the others


def test_before_anything_has_gone_those_that_run_say_how_fast_it_will() -> None:
    line = Admission(AdmissionSettings(queue_tokens=TOKENS * 10))
    for number in range(10):
        waits(line, 0.0, f"tenant {number}")
    assert refused(line, 0.0, takes_s=8.0, in_flight=4).retry_after_s == pytest.approx(20.0)


def test_where_nobody_knows_it_takes_as_long_again() -> None:
    line = Admission(AdmissionSettings(queue_tokens=TOKENS * 10))
    for number in range(10):
        waits(line, 0.0, f"tenant {number}")
    assert refused(line, 0.0, "x").retry_after_s == LEAST_RETRY_S
    assert refused(line, 15.0, "y").retry_after_s == 15.0


def test_where_nothing_may_wait_it_is_told_when_the_next_place_is_free() -> None:
    line = Admission(AdmissionSettings(queue_tokens=0))
    assert refused(line, 1000.0, takes_s=8.0, in_flight=4).retry_after_s == pytest.approx(2.0)
    assert refused(line, 1000.0, takes_s=8.0, in_flight=4).retry_after_s == pytest.approx(4.0)


def test_one_that_comes_again_and_again_makes_only_its_own_wait_longer() -> None:
    line, now = moving(tenants="ab", places=12)
    for _ in range(1000):
        assert refused(line, now, "a").retry_after_s <= MOST_RETRY_S
    assert refused(line, now, "b").retry_after_s == pytest.approx(12.0, rel=0.01)


def test_one_that_comes_too_late_is_told_when_the_line_before_it_has_gone() -> None:
    line, now = moving()
    line.next(now)
    answer = line.offer(asks("a", deadline_s=now + 5.0), None, now, room=False, takes_s=1.0)
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.TOO_LATE
    assert answer.retry_after_s == pytest.approx(9.0, rel=0.02)


def test_one_that_has_waited_for_as_long_as_it_may_is_told_what_still_waits() -> None:
    line, now = moving(tenants="ab")
    ticket = waits(Admission(AdmissionSettings()), now)
    assert line.overdue(ticket, now).retry_after_s == pytest.approx(2.0, rel=0.01)


def test_of_many_tenants_those_whose_time_has_come_are_forgotten_first() -> None:
    returns = Returns()

    def told(tenant: str, now: float) -> float:
        return returns.again_s(tenant, 0, TOKENS, 1, 60.0, now, 10.0)

    told("late", 0.0)
    for _ in range(5):
        told("late", 0.0)
    assert told("late", 0.0) == pytest.approx(60.0)
    for number in range(5000):
        told(f"tenant {number}", 30.0)
    assert len(returns._due_s) <= 4096


def test_nothing_is_told_under_a_second() -> None:
    assert Returns().again_s("a", 0, 1, 1, 60.0, 0.0, 1e9) == LEAST_RETRY_S
