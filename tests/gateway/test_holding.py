"""Requests that come while nothing runs: held for the first replica, refused in time, told when the start fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from engines.model import Deadlines
from gateway.flight import Flight
from routing.waiting.holding import Holding
from tests.gateway.flights import Bench, FakeConnection, StepClock

pytestmark = pytest.mark.usefixtures("now")

HOLDING = Holding(("t0",), most_s=300.0, tokens=1_000_000)


class Bell:
    """Who is woken; the first replica serves in so many seconds."""

    def __init__(self, serves_in_s: float = 30.0) -> None:
        self.serves_in_s = serves_in_s
        self.rung: list[tuple[str, ...]] = []
        self.fail: dict[str, float] = {}
        """Those whose start has failed, and when each is tried again."""

    def ask(self, engines: Sequence[str], now: float) -> float:
        self.rung.append(tuple(engines))
        return self.serves_in_s

    def failed(self, engines: Sequence[str], now: float) -> float | None:
        return min([self.fail[one] - now for one in engines]) if self.fail.keys() >= set(engines) else None


def asleep(now: StepClock, *tiers: int, holding: Holding | None = HOLDING) -> tuple[Bench, Bell]:
    bell = Bell()
    return Bench(now, *(tiers or (0,)), holding=holding, wakes=bell), bell


def told(flight_and_client: tuple[Flight, FakeConnection]) -> tuple[int, str, str]:
    client = flight_and_client[1]
    return client.status, client.error["code"], client.error["message"]


def test_it_wakes_the_engine_and_is_served_by_the_replica_that_comes(now: StepClock) -> None:
    bench, bell = asleep(now)
    flight, client = bench.begin()
    assert (bell.rung, client.state, bench.calls) == ([("t0",)], "waiting", [])
    now.now_s += 29.0
    bench.join("t0", "0")
    bench.room.freed(now.now_s)
    assert len(bench.calls) == 1
    assert flight.queue_s == 29.0
    flight.client_gone()
    assert bench.outstanding() == {}


def test_without_anybody_to_wake_it_is_refused_at_once(now: StepClock) -> None:
    for bench in (Bench(now, 0), asleep(now, holding=None)[0], Bench(now, 0, holding=HOLDING)):
        status, code, message = told(bench.begin())
        assert (status, code) == (503, "no_replica_available")
        assert message == "no replica of model 'm' has started yet; try again in 5 s"


def test_a_deadline_before_the_start_is_over_is_refused_at_once_and_wakes_all_the_same(now: StepClock) -> None:
    bench, bell = asleep(now)
    flight, client = bench.begin(deadlines=Deadlines(total_s=20.0))
    status, code, message = told((flight, client))
    assert (status, code, client.headers["retry-after"]) == (503, "no_replica_available", "30")
    assert "will not serve within the time that the request allows; try again in 30 s" in message
    assert bell.rung == [("t0",)]


def test_its_time_ends(now: StepClock) -> None:
    bench, _ = asleep(now)
    begun = bench.begin()
    now.now_s += 300.0
    for _ in range(10_000):
        if begun[1].state == "answered":
            break
        bench.loop.fire()
    status, code, message = told(begun)
    assert (status, code) == (503, "no_replica_available")
    assert message.startswith("model 'm': its first replica has not come to serve for as long as a request may wait")
    assert bench.room.busy == {}


def test_a_start_that_fails_is_told_to_those_who_wait_for_it(now: StepClock) -> None:
    bench, bell = asleep(now)
    begun = [bench.begin() for _ in range(3)]
    bell.fail = {"another": now.now_s + 5.0}
    bench.room.start_failed("another", now.now_s)
    assert {client.state for _, client in begun} == {"waiting"}
    bell.fail["t0"] = now.now_s + 5.0
    bench.room.start_failed("t0", now.now_s)
    assert {told(each) for each in begun} == {
        (
            503,
            "no_replica_available",
            "model 'm': its first replica failed to start, and is tried again; try again in 5 s",
        )
    }
    assert {client.headers["retry-after"] for _, client in begun} == {"5"}
    assert bench.room.busy == {}


def test_who_comes_while_the_start_fails_is_told_at_once_and_wakes_all_the_same(now: StepClock) -> None:
    bench, bell = asleep(now)
    bell.fail = {"t0": now.now_s + 40.0}
    now.now_s += 10.0
    begun = bench.begin()
    status, code, message = told(begun)
    assert (status, code, begun[1].headers["retry-after"]) == (503, "no_replica_available", "30")
    assert "its first replica failed to start, and is tried again" in message
    assert bell.rung == [("t0",)]
    bell.fail = {}
    assert bench.begin()[1].state == "waiting"


def test_one_engine_that_fails_refuses_nobody_whom_another_starts_for(now: StepClock) -> None:
    bench, bell = asleep(now, holding=Holding(("t0", "t1"), most_s=300.0, tokens=1_000_000))
    _, client = bench.begin()
    bell.fail = {"t0": now.now_s + 5.0}
    bench.room.start_failed("t0", now.now_s)
    assert (client.state, bench.begin()[1].state) == ("waiting", "waiting")
    bell.fail["t1"] = now.now_s + 5.0
    bench.room.start_failed("t1", now.now_s)
    assert (client.status, bench.room.busy) == (503, {})


def test_a_client_that_leaves_leaves_nothing(now: StepClock) -> None:
    bench, _ = asleep(now)
    flight, _ = bench.begin()
    flight.client_gone()
    assert (bench.room.busy, bench.outstanding()) == ({}, {})
    bench.join("t0", "0")
    bench.room.freed(now.now_s)
    assert bench.calls == []


def test_a_later_tier_serves_meanwhile(now: StepClock) -> None:
    bench, bell = asleep(now, 0, 1)
    bench.begin()
    assert [len(engine.calls) for engine in bench.engines] == [0, 1]
    assert bell.rung == []  # whoever looks sees the request in the figures of its model
