"""Whatever an attempt takes it gives back once, in whatever order it begins, breaks and ends."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.facts import RequestFacts
from routing.failing.breaker import Breaker, BreakerSettings, Verdict
from routing.lease import Lease, LeaseSeries
from routing.replicas.replica import ReplicaState

relaxed = settings(deadline=None)


class Clock:
    """A meter that costs a dollar a second and knows who is on it."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def start(self, now_s: float) -> float:
        self.marks.append(now_s)
        return now_s

    def cost_so_far_usd(self, mark: float, now_s: float) -> float:
        return now_s - mark

    def finish(self, mark: float, now_s: float) -> float:
        self.marks.remove(mark)
        return now_s - mark


def half_open() -> ReplicaState:
    breaker = Breaker(BreakerSettings(min_failures=1, jitter_ratio=0.0))
    breaker.record(breaker.admit(0.0), Verdict.FAILURE, 0.0, random.Random(1))
    return ReplicaState(("e", "0"), breaker)


@relaxed
@given(
    steps=st.lists(st.sampled_from(["first_byte", "works", "tell", "release"]), max_size=6),
    verdict=st.sampled_from(list(Verdict)),
    metered=st.booleans(),
)
def test_any_order_of_ends_gives_everything_back_once(steps: list[str], verdict: Verdict, metered: bool) -> None:
    state, meter, series = half_open(), Clock(), LeaseSeries()
    rng = random.Random(1)
    now = 10.0
    lease = Lease(state, RequestFacts("chat", 30, 70), now, meter if metered else None, series)
    assert (state.in_flight_requests, state.in_flight_tokens, state.prefill_tokens, series.in_flight) == (1, 100, 30, 1)
    begun = False
    costs = []
    for step in [*steps, "tell", "release"]:
        now += 1.0
        if step == "first_byte" and not begun and lease.held:
            begun = True
            lease.first_byte()
            assert (state.in_flight_tokens, state.prefill_tokens) == (70, 0)
        elif step == "works":
            lease.works(now, rng)
        elif step == "tell":
            lease.tell(verdict, now, rng)
        elif step == "release":
            held = lease.held
            cost = lease.release(now)
            assert (cost is not None) == (held and metered)
            if cost is not None:
                costs.append(cost)
    assert (state.in_flight_requests, state.in_flight_tokens, state.prefill_tokens, series.in_flight) == (0, 0, 0, 0)
    assert (meter.marks, len(costs), state.breaker._probes) == ([], int(metered), 0)


def test_two_leases_on_one_replica_give_back_only_their_own() -> None:
    state, series = half_open(), LeaseSeries()
    state.breaker.record(state.breaker.admit(10.0), Verdict.SUCCESS, 10.0, random.Random(1))
    a = Lease(state, RequestFacts("chat", 30, 70), 11.0, None, series)
    b = Lease(state, RequestFacts("chat", 5, 6), 11.0, None, series)
    a.release(12.0)
    a.release(13.0)
    assert (state.in_flight_requests, state.in_flight_tokens, series.in_flight) == (1, 11, 1)
    b.release(13.0)
    assert (state.in_flight_requests, state.in_flight_tokens, series.in_flight) == (0, 0, 0)


def test_a_first_byte_after_the_end_gives_nothing_back_once_more() -> None:
    state = ReplicaState(("e", "0"), Breaker(BreakerSettings()))
    others = Lease(state, RequestFacts("op", 100, 10), 5.0, None, LeaseSeries())
    lease = Lease(state, RequestFacts("op", 70, 10), 5.0, None, LeaseSeries())
    lease.release(6.0)
    lease.first_byte()
    assert (state.prefill_tokens, state.in_flight_requests) == (100, 1)
    others.release(7.0)
    assert state.in_flight_tokens == 0
