from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from routing.failing.breaker import Breaker, BreakerSettings, Verdict
from routing.prefix.news import PrefixNews
from routing.replicas.replica import ReplicaKey, ReplicaState
from routing.replicas.replica_table import ReplicaTable

TOKENS = st.integers(0, 10_000)


class AccountingAgainstAListOfRequests(RuleBasedStateMachine):
    """The oracle is the list of open requests, summed afresh after every step."""

    waiting = Bundle("waiting")
    answering = Bundle("answering")

    def __init__(self) -> None:
        super().__init__()
        self.state = ReplicaState(("e", "0"), Breaker(BreakerSettings()))
        self.prefill: list[tuple[int, int]] = []
        self.decode: list[int] = []

    @rule(target=waiting, prompt=TOKENS, output=TOKENS)
    def charge(self, prompt: int, output: int) -> tuple[int, int]:
        self.state.charge(prompt, output)
        self.prefill.append((prompt, output))
        return prompt, output

    @rule(target=answering, request=consumes(waiting))
    def first_byte(self, request: tuple[int, int]) -> int:
        self.state.first_byte(request[0])
        self.prefill.remove(request)
        self.decode.append(request[1])
        return request[1]

    @rule(request=consumes(waiting))
    def fail(self, request: tuple[int, int]) -> None:
        self.state.release(*request)
        self.prefill.remove(request)

    @rule(output=consumes(answering))
    def finish(self, output: int) -> None:
        self.state.release(0, output)
        self.decode.remove(output)

    @invariant()
    def adds_up(self) -> None:
        assert len(self.prefill) + len(self.decode) == self.state.in_flight_requests
        assert sum(p for p, _ in self.prefill) == self.state.prefill_tokens
        assert sum(p + o for p, o in self.prefill) + sum(self.decode) == self.state.in_flight_tokens

    def teardown(self) -> None:
        for prompt, output in self.prefill:
            self.state.release(prompt, output)
        for output in self.decode:
            self.state.release(0, output)
        assert (
            self.state.in_flight_requests,
            self.state.in_flight_tokens,
            self.state.prefill_tokens,
        ) == (0, 0, 0)


AccountingAgainstAListOfRequests.TestCase.settings = settings(deadline=None, max_examples=60)
TestAccountingAgainstAListOfRequests = AccountingAgainstAListOfRequests.TestCase


def test_what_is_usual_is_what_half_of_the_requests_exceed() -> None:
    state = ReplicaState(("e", "0"), Breaker(BreakerSettings()))
    rng = random.Random(1)
    for _ in range(400):
        state.charge(3000 if rng.random() < 0.1 else rng.randrange(100, 300), 0)
    assert 150 < state.usual_tokens < 250
    for _ in range(1000):
        state.charge(0, 0)
    assert 0.9 < state.usual_tokens <= 1.0
    for _ in range(400):
        state.charge(5000, 0)
    assert 4800 < state.usual_tokens < 5200


def test_plain_answers_tell_what_is_usual_too() -> None:
    state = ReplicaState(("e", "0"), Breaker(BreakerSettings()))
    for _ in range(400):
        state.charge_plain(100, 10, 0.0)
    assert 90 < state.usual_tokens < 110


def test_others_that_wait_count_for_what_is_usual_however_much_that_is_and_as_long_as_a_report_does() -> None:
    state = ReplicaState(("e", "0"), Breaker(BreakerSettings()))
    assert (state.foreign_tokens(0.0), state.all_ahead_tokens(0.0)) == (0.0, 0.0)
    for _ in range(3000):
        state.charge(10_000_000, 0)
    assert state.usual_tokens < 10_400_000
    state.tell(0, 3003, 0.1, 0.0, 2.0)
    assert 0.0 < state.foreign_tokens(0.0) <= 3 * state.usual_tokens
    assert state.all_ahead_tokens(0.0) == state.prefill_tokens + state.foreign_tokens(0.0)
    assert state.foreign_tokens(6.0) == 0.0
    state.tell(0, 10**15, 0.1, 0.0, 2.0)  # as much as is believed of an engine
    assert state.foreign_tokens(0.0) < 1e23


def test_releasing_twice_is_loud_and_never_negative() -> None:
    state = ReplicaTable().get(("e", "0"))
    state.charge(10, 20)
    state.release(10, 20)
    with pytest.warns(RuntimeWarning, match="more was released"):
        state.release(10, 20)
    assert (state.in_flight_requests, state.in_flight_tokens, state.prefill_tokens) == (0, 0, 0)


def test_a_second_first_byte_is_loud_and_never_negative() -> None:
    state = ReplicaTable().get(("e", "0"))
    state.charge(10, 5)
    state.first_byte(10)
    with pytest.warns(RuntimeWarning, match="more was released"):
        state.first_byte(10)
    assert (state.in_flight_requests, state.in_flight_tokens, state.prefill_tokens) == (1, 0, 0)


def test_an_unhealthy_or_draining_replica_is_not_available() -> None:
    state = ReplicaTable().get(("e", "0"))
    assert state.available(0.0)
    state.healthy = False
    assert not state.available(0.0)
    state.healthy, state.draining = True, True
    assert not state.available(0.0)


def test_the_table_gives_one_state_per_key() -> None:
    table = ReplicaTable()
    first = table.get(("e", "0"))
    assert table.get(("e", "0")) is first
    assert table.get(("e", "1")) is not first
    assert [s.key for s in table] == [("e", "0"), ("e", "1")]


def test_what_left_is_forgotten_once_it_has_nothing_in_flight() -> None:
    table = ReplicaTable()
    wanted, idle, busy = table.get(("e", "wanted")), table.get(("e", "idle")), table.get(("e", "busy"))
    busy.charge(1, 1)
    table.leave(idle.key)
    table.leave(busy.key)
    assert table.sweep() == [idle.key]
    assert list(table) == [wanted, busy]
    busy.release(1, 1)
    assert table.sweep() == [busy.key]
    assert len(table) == 1


def test_those_whose_breaker_has_opened_are_known_apart_until_they_are_forgotten() -> None:
    table = ReplicaTable(BreakerSettings(min_failures=1))
    failing, other = table.get(("e", "failing")), table.get(("e", "other"))
    rng = random.Random(1)
    for state, verdict in ((failing, Verdict.FAILURE), (other, Verdict.SUCCESS)):
        state.breaker.record(state.breaker.admit(0.0), verdict, 0.0, rng)
    assert list(table.opened) == [failing.key]
    table.leave(failing.key)
    table.sweep()
    assert not table.opened


def test_one_that_refuses_our_credentials_stands_aside_a_minute_then_twice_as_long_up_to_ten() -> None:
    state = ReplicaTable().get(("e", "r"))
    now, waits = 0.0, []
    for _ in range(6):
        assert state.stand_aside(now)
        assert not state.stand_aside(now)  # the others that were on their way with it
        assert not state.available(now)
        assert state.last_resort(now)
        waits.append(state.aside_until_s - now)
        now = state.aside_until_s
        assert state.available(now)
    assert waits == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    state.stand_in()
    assert state.stand_aside(now)
    assert state.aside_until_s == now + 60.0


def test_the_table_tells_of_a_breaker_that_opens_and_closes_and_why() -> None:
    told: list[tuple[ReplicaKey, bool, str, float]] = []
    table = ReplicaTable(BreakerSettings(jitter_ratio=0.0), lambda *what: told.append(what))
    breaker, rng = table.get(("e", "r")).breaker, random.Random(0)
    for _ in range(5):
        breaker.record(breaker.admit(0.0), Verdict.FAILURE, 0.0, rng, "server_error")
    breaker.record(breaker.admit(5.0), Verdict.SUCCESS, 5.0, rng)
    assert told == [
        (("e", "r"), False, "5 of 5 failed, the last by server_error", 5.0),
        (("e", "r"), True, "a probe was answered", 0.0),
    ]


def test_a_breaker_of_a_server_whose_name_another_has_is_not_told_under_that_name() -> None:
    told: list[tuple[object, ...]] = []
    table = ReplicaTable(BreakerSettings(min_failures=1), lambda *what: told.append(what))
    old = table.get(("e", "a"))
    ticket = old.breaker.admit(1.0)
    table.succeed(("e", "a"))
    new = table.get(("e", "a"))
    old.breaker.record(ticket, Verdict.FAILURE, 2.0, random.Random(1))
    assert not old.breaker.closed
    assert (told, table.opened, new.breaker.closed) == ([], {}, True)
    new.breaker.record(new.breaker.admit(3.0), Verdict.FAILURE, 3.0, random.Random(1))
    assert [key for key, *_ in told] == [("e", "a")]
    assert table.opened == {("e", "a"): new}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["send", "end", "look"]))))
def test_the_busy_are_those_with_something_in_flight_whenever_one_looks(steps: list[tuple[int, str]]) -> None:
    table = ReplicaTable(news=PrefixNews(lambda: None))
    states = [table.get(("a", str(number))) for number in range(4)]
    for number, step in [*steps, (0, "look")]:
        state = states[number]
        if step == "send":
            state.charge(10, 5) if number % 2 else state.charge_plain(10, 5, 0.0)
        elif step == "end" and state.in_flight_requests:
            state.release(10, 5) if number % 2 else state.release_plain(10, 5, 0.0)
        elif step == "look":
            assert sorted(one.key for one in table.busy()) == [one.key for one in states if one.in_flight_requests]


def test_where_nobody_asks_for_the_busy_none_are_kept() -> None:
    table = ReplicaTable()
    table.get(("a", "0")).charge(1, 1)
    assert table.busy() == []
