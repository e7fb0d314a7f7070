"""The line of one model: its laws, and what tenants make of it."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.facts import RequestFacts
from routing.waiting.admission import (
    ADMITTED,
    Admission,
    AdmissionSettings,
    Reason,
    Refusal,
    foreseen,
)
from routing.waiting.returns import LEAST_RETRY_S
from routing.waiting.turns import SAVED_UP_TOKENS, Ticket


def asks(tokens: int = 100, tenant: str = "", priority: int = 0, deadline_s: float | None = None) -> RequestFacts:
    facts = RequestFacts("chat", tokens, 0)
    facts.tenant, facts.priority, facts.deadline_s = tenant, priority, deadline_s
    return facts


def waits(line: Admission, facts: RequestFacts, now: float = 0.0) -> Ticket:
    ticket = line.offer(facts, None, now, room=False)
    assert isinstance(ticket, Ticket)
    return ticket


def served(line: Admission, now: float = 0.0) -> list[Ticket]:
    tickets = []
    while (ticket := line.next(now)) is not None:
        tickets.append(ticket)
    return tickets


def test_where_there_is_room_and_nobody_waits_it_goes() -> None:
    assert Admission(AdmissionSettings()).offer(asks(), None, 0.0, room=True) is ADMITTED


def test_whoever_comes_while_others_wait_waits_behind_them_even_if_there_is_room() -> None:
    line = Admission(AdmissionSettings())
    first = waits(line, asks())
    second = line.offer(asks(), None, 0.0, room=True)
    assert isinstance(second, Ticket)
    assert served(line) == [first, second]


def test_higher_priority_goes_first_and_within_one_it_is_first_come_first_served() -> None:
    line = Admission(AdmissionSettings())
    low, high, middle, late = (waits(line, asks(priority=priority)) for priority in (-1, 5, 0, 5))
    assert served(line) == [high, late, middle, low]


def test_the_line_is_bounded_in_tokens_and_says_when_to_come_again() -> None:
    line = Admission(AdmissionSettings(queue_tokens=1000, tenant_ratio=1.0))
    for _ in range(10):
        waits(line, asks())
    assert line.offer(asks(), None, 0.0, room=False) == Refusal(Reason.QUEUE_FULL, LEAST_RETRY_S)
    for second in range(1, 6):  # 100 tokens in 4 s
        line.next(4.0 * second)
        waits(line, asks(tenant="b"), 4.0 * second)
    refused = line.offer(asks(tenant="c"), None, 20.0, room=False)
    assert isinstance(refused, Refusal)
    assert refused.retry_after_s == pytest.approx(40.0, rel=0.01)


def test_one_tenant_cannot_take_the_whole_line() -> None:
    line = Admission(AdmissionSettings(queue_tokens=1000))
    for _ in range(5):
        waits(line, asks(tenant="flood"))
    refused = line.offer(asks(tenant="flood"), None, 0.0, room=False)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.TENANT_QUEUE_FULL
    waits(line, asks(tenant="quiet"))


def test_one_request_larger_than_a_tenants_part_still_finds_its_place() -> None:
    line = Admission(AdmissionSettings(queue_tokens=1000))
    waits(line, asks(tokens=900, tenant="a"))


def test_whoever_was_idle_has_some_requests_saved_up_and_no_more() -> None:
    line = Admission(AdmissionSettings())
    for _ in range(200):
        waits(line, asks(4000, "loud"))
    for _ in range(100):
        line.next(0.0)
    for _ in range(40):
        waits(line, asks(4000, "quiet"))
    order = [ticket.tenant for ticket in served(line)]
    saved_up = order.index("loud")
    assert SAVED_UP_TOKENS <= 4000 * saved_up <= SAVED_UP_TOKENS + 8000
    shared = order[saved_up : saved_up + 2 * (40 - saved_up)]
    assert shared.count("quiet") == pytest.approx(40 - saved_up, abs=1)  # then each in turn


def test_without_a_queue_what_finds_no_room_is_refused() -> None:
    refused = Admission(AdmissionSettings(queue_tokens=0)).offer(asks(), None, 0.0, room=False)
    assert isinstance(refused, Refusal)


def test_what_cannot_be_done_in_time_is_refused_at_once() -> None:
    line = Admission(AdmissionSettings())
    assert isinstance(line.offer(asks(deadline_s=5.0), None, 0.0, room=True, takes_s=6.0), Refusal)
    assert line.offer(asks(deadline_s=5.0), None, 0.0, room=True, takes_s=4.0) is ADMITTED
    for second in range(1, 11):  # the line moves at 100 tokens a second
        waits(line, asks(), second - 1.0)
        line.next(float(second))
    for _ in range(8):
        waits(line, asks(), 10.0)
    assert isinstance(line.offer(asks(deadline_s=17.0), None, 10.0, room=False, takes_s=1.0), Refusal)
    ticket = line.offer(asks(deadline_s=25.0), None, 10.0, room=False, takes_s=1.0)
    assert isinstance(ticket, Ticket)
    assert ticket.deadline_s == 24.0


def test_a_tenants_wait_under_anothers_flood_is_as_if_the_flood_had_an_equal_share() -> None:
    """One server, 100 tokens a second; the quiet tenant asks 30 of them, the flooder ten times what there is."""

    def mean_wait_s(flood_per_s: float) -> float:
        line, rng = Admission(AdmissionSettings(queue_tokens=10**9, tenant_ratio=1.0)), random.Random(3)
        arrivals = [(rng.uniform(0, 300), "quiet", 100) for _ in range(90)]
        arrivals += [(rng.uniform(0, 300), "flood", 100) for _ in range(int(flood_per_s * 300))]
        arrivals.sort()
        free_s, waited = 0.0, []
        for at, (now, tenant, tokens) in enumerate(arrivals):
            waits(line, asks(tokens, tenant), now)
            until = arrivals[at + 1][0] if at + 1 < len(arrivals) else now
            free_s = max(free_s, now)
            while free_s <= until and (ticket := line.next(free_s)) is not None:
                if ticket.tenant == "quiet":
                    waited.append(free_s - ticket.since_s)
                free_s += ticket.tokens / 100.0
        return sum(waited) / len(waited)

    assert mean_wait_s(10.0) <= 2.0 * mean_wait_s(0.5)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(1, 400), st.sampled_from("abc"), st.integers(-1, 2)),
        st.tuples(st.just("next"), st.integers(0, 3)),
        st.tuples(st.just("withdraw"), st.integers(0, 50)),
    ),
    max_size=80,
)


@settings(deadline=None)
@given(steps=steps)
def test_everybody_leaves_once_and_nothing_is_left_behind(steps: list[tuple[object, ...]]) -> None:
    line = Admission(AdmissionSettings(queue_tokens=5000))
    inside: list[Ticket] = []
    now = 0.0
    for step in steps:
        if step[0] == "offer":
            _, tokens, tenant, priority = step
            assert isinstance(tokens, int)
            assert isinstance(priority, int)
            answer = line.offer(asks(tokens, str(tenant), priority), None, now, room=False)
            if isinstance(answer, Ticket):
                inside.append(answer)
        elif step[0] == "next":
            now += float(str(step[1]))
            ticket = line.next(now)
            assert (ticket is None) == (not inside)
            if ticket is not None:
                assert ticket.facts.priority == max(one.facts.priority for one in inside)
                inside.remove(ticket)
        elif inside:
            ticket = inside.pop(int(str(step[1])) % len(inside))
            line.withdraw(ticket)
            line.withdraw(ticket)
        assert line.waiting == len(inside)
        assert line.waiting_tokens == sum(one.tokens for one in inside) <= 5000
    order = served(line, now)
    assert sorted(map(id, order)) == sorted(map(id, inside))
    assert (line.waiting, line.waiting_tokens, line._held, line._bands) == (0, 0, {}, {})


@settings(deadline=None)
@given(data=st.data(), sizes=st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 300)), min_size=10, max_size=60))
def test_backlogged_tenants_are_served_alike_but_for_one_request_whoever_gives_up(
    data: st.DataObject, sizes: list[tuple[str, int]]
) -> None:
    """Goyal's bound: over any span in which both wait, the tokens served differ by at most two requests."""
    line = Admission(AdmissionSettings(queue_tokens=10**9, tenant_ratio=1.0))
    left: dict[str, list[Ticket]] = {"a": [], "b": []}
    for tenant, tokens in sizes:
        left[tenant].append(waits(line, asks(tokens, tenant)))
    done: dict[str, int] = defaultdict(int)
    while all(left.values()):
        ticket = line.next(0.0)
        assert ticket is not None
        done[ticket.tenant] += ticket.tokens
        left[ticket.tenant].remove(ticket)
        assert abs(done["a"] - done["b"]) <= 2 * max(tokens for _, tokens in sizes)
        for tickets in left.values():
            if len(tickets) > 1 and data.draw(st.booleans()):
                line.withdraw(tickets.pop(data.draw(st.integers(0, len(tickets) - 1))))


def test_a_tenant_whose_clients_give_up_is_served_as_much_as_one_whose_clients_stay() -> None:
    """Each asks for as much as there is; one's clients wait for three steps and leave."""
    line = Admission(AdmissionSettings(queue_tokens=10**9))
    for _ in range(50):
        waits(line, asks(1000, "stays"))
    leave: list[Ticket] = []
    done: dict[str, int] = defaultdict(int)
    for step in range(400):
        leave.append(waits(line, asks(1000, "leaves"), float(step)))
        if step >= 3:
            line.withdraw(leave[step - 3])
        waits(line, asks(1000, "stays"), float(step))
        ticket = line.next(float(step))
        assert ticket is not None
        done[ticket.tenant] += step >= 200
    assert done["leaves"] == pytest.approx(100, abs=2)


def test_what_was_withdrawn_puts_nobody_behind() -> None:
    line = Admission(AdmissionSettings(queue_tokens=10**9, tenant_ratio=1.0))
    for _ in range(100):
        waits(line, asks(1000, "flood"))
    for ticket in [waits(line, asks(1000, "quiet")) for _ in range(100)]:
        line.withdraw(ticket)
    last = waits(line, asks(1000, "quiet"))
    assert served(line).index(last) <= 1


# -- what will be, where it is known how long everything takes ---------------------------------------------------------


@settings(deadline=None)
@given(
    ahead=st.lists(st.floats(0.1, 10.0), max_size=12),
    ends=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=5),
    more=st.floats(0.1, 10.0),
)
def test_the_next_one_goes_as_soon_as_a_place_is_free_and_never_sooner_for_one_more_ahead(
    ahead: list[float], ends: list[float], more: float
) -> None:
    places = sorted(ends)
    for takes_s in ahead:  # one by one, each into the place that is free first
        places[0] += takes_s
        places.sort()
    assert foreseen(ahead, ends) == pytest.approx(places[0])
    assert foreseen([*ahead, more], ends) >= foreseen(ahead, ends)
    assert foreseen(ahead, [*ends, 0.0]) <= foreseen(ahead, ends)


def timed(line: Admission, takes_s: float, deadline_s: float, now: float = 0.0, in_flight: int = 2) -> bool:
    """Whether one of a tenant of its own is let in that takes so long and is due then."""
    answer = line.offer(
        asks(tenant=f"due {deadline_s}", deadline_s=deadline_s), object(), now, False, takes_s, in_flight
    )
    if isinstance(answer, Ticket):
        line.withdraw(answer)
    return isinstance(answer, Ticket)


def test_what_runs_and_what_waits_says_when_one_that_comes_now_will_be_over() -> None:
    line = Admission(AdmissionSettings())
    line.started("a", 4.0)
    line.started("b", 6.0)
    assert (timed(line, 1.0, 4.9), timed(line, 1.0, 5.1)) == (False, True)
    line.offer(asks(), None, 0.0, False, 3.0, 2)  # from 4 to 7, so the next place is free at 6
    assert (timed(line, 1.0, 6.9), timed(line, 1.0, 7.1)) == (False, True)
    line.ended("a")
    line.ended("a")
    line.started("c", 1.0)  # from 1 to 4, and then 4
    assert (timed(line, 1.0, 4.9), timed(line, 1.0, 5.1)) == (False, True)


def test_only_those_that_go_before_it_count() -> None:
    line = Admission(AdmissionSettings())
    line.started("a", 4.0)
    line.offer(asks(priority=-1), None, 0.0, False, 30.0, 1)
    assert timed(line, 1.0, 5.1, in_flight=1)
    for _ in range(3):
        line.offer(asks(tenant="loud"), None, 0.0, False, 10.0, 1)
    assert not timed(line, 1.0, 14.9, in_flight=1)  # behind the first of the other tenant's, not behind all
    assert timed(line, 1.0, 15.1, in_flight=1)


def test_of_those_that_nobody_knows_one_ends_after_the_other() -> None:
    line = Admission(AdmissionSettings())
    assert (timed(line, 4.0, 4.9), timed(line, 4.0, 5.1)) == (False, True)  # two end within 4 s: at 1 and 3


def test_one_that_is_over_its_time_is_taken_to_run_on() -> None:
    line = Admission(AdmissionSettings())
    line.started("a", 4.0)
    assert (timed(line, 1.0, 7.9, 6.0, 1), timed(line, 1.0, 9.1, 6.0, 1)) == (False, True)
