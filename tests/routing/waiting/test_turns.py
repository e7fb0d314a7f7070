"""Whose turn is next: who is remembered, and what those leave behind that give up."""

from __future__ import annotations

from routing.facts import RequestFacts
from routing.waiting.turns import Ticket, Turns


def waits(turns: Turns, tenant: str, tokens: int = 1000) -> Ticket:
    facts = RequestFacts("chat", tokens, 0)
    facts.tenant = tenant
    ticket = Ticket(facts, None, 0.0, 60.0)
    turns.add(ticket)
    return ticket


def taken(turns: Turns) -> list[Ticket]:
    tickets = []
    while (ticket := turns.take()) is not None:
        tickets.append(ticket)
    return tickets


def test_a_tenant_that_waits_is_never_forgotten_however_many_come_and_go() -> None:
    turns = Turns(kept=8)
    first = [waits(turns, "flood") for _ in range(20)]
    for number in range(1000):
        turns.remove(waits(turns, f"{number}"))
    assert len(turns._turns) <= 8 + 66  # and the heap has as few
    assert len(turns._heap) <= 66
    second = [waits(turns, "flood") for _ in range(20)]
    assert taken(turns) == first + second


def test_of_those_that_do_not_wait_those_that_are_least_ahead_are_forgotten() -> None:
    turns = Turns(kept=8)
    for tenant in ("waits", "much"):
        waits(turns, tenant, 100_000)
    for number in range(6):
        waits(turns, f"little {number}", 10)
    for _ in range(8):
        turns.take()
    rest = [waits(turns, "waits", 100_000) for _ in range(2)]
    for number in range(6, 300):
        turns.remove(waits(turns, f"{number}"))
    much = waits(turns, "much", 100_000)
    assert taken(turns) == [rest[0], much, rest[1]]
    assert "little 0" not in {tenant for _, tenant in turns._turns}


def test_one_that_gives_up_and_comes_again_has_its_place_once() -> None:
    turns = Turns()
    other = waits(turns, "other")
    turns.remove(waits(turns, "one"))
    again = waits(turns, "one")
    assert (list(turns), taken(turns)) == ([other, again], [other, again])
    assert turns.take() is None


def test_what_goes_before_one_that_comes_now_is_what_is_taken_before_it() -> None:
    turns = Turns()
    for tenant, tokens in (("a", 500), ("b", 300), ("a", 500), ("a", 500), ("b", 900)):
        waits(turns, tenant, tokens)
    facts = RequestFacts("chat", 100, 0)
    facts.tenant = "b"
    before = turns.before(facts)
    mine = waits(turns, "b", 100)
    order = taken(turns)
    assert before == order[: order.index(mine)]


def test_those_next_are_those_that_are_taken_next() -> None:
    turns = Turns()
    for number in range(30):
        waits(turns, "abc"[number % 3], 500 + 97 * number)
    turns.remove(turns.near(5)[3])
    near = turns.near(10)
    assert near == taken(turns)[:10]


def test_one_that_passes_by_is_paid_for_by_its_tenant_and_by_nobody_else() -> None:
    turns = Turns()
    a, b = ([waits(turns, tenant) for _ in range(3)] for tenant in "ab")
    turns.pass_by(a[1])
    assert taken(turns) == [b[0], a[0], b[1], a[2], b[2]]
    turns.clear()
    only = waits(turns, "a")
    turns.pass_by(only)
    assert (turns.first(), list(turns), waits(turns, "b") is turns.first()) == (None, [], True)
