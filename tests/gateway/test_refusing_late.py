"""Requests of a model that refuses at once what would miss its objective, from the client to the engine."""

from __future__ import annotations

import pytest

from engines.model import Operation
from routing.choosing.filters import Filter
from routing.waiting.admission import DEFAULT_ADMISSION, AdmissionSettings
from tests.gateway.flights import Bench, FakeConnection, StepClock
from tests.gateway.test_waiting import PICTURE, OnlyAt, finish

pytestmark = pytest.mark.usefixtures("now")

ONE = AdmissionSettings(in_flight=1)


def bench_of(
    now: StepClock,
    *tiers: int,
    admission: AdmissionSettings = DEFAULT_ADMISSION,
    refuse_late_ms: float | None = 500.0,
    filters: tuple[Filter, ...] = (),
) -> Bench:
    """Replicas of 20 ms and 0.1 ms a token."""
    bench = Bench(now, *tiers, policy="slo", refuse_late_ms=refuse_late_ms, admission=admission, filters=filters)
    for state in bench.table:
        state.prefill.learn(1000.0, 120.0, now.now_s)
    return bench


def busy(bench: Bench, *tokens: int) -> None:
    for state, waiting in zip(bench.table, tokens, strict=True):
        state.prefill_tokens = waiting


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES])
@pytest.mark.parametrize("stream", [True, False])
def test_what_would_be_late_everywhere_is_told_so_at_once(now: StepClock, operation: Operation, stream: bool) -> None:
    bench = bench_of(now, 2)
    busy(bench, 28_000, 30_000)
    _, client = bench.begin(operation, stream=stream)
    assert (client.state, client.status, bench.calls) == ("answered", 503, [])
    assert client.headers["retry-after"] == "3"  # 2.8 s of queue and 0.02 more, less 0.5
    assert "x-should-retry" not in client.headers
    words = "model 'm': it could not be answered within the objective of the model; try again in 3 s"
    assert client.error["message"] == words
    if operation is Operation.MESSAGES:
        assert client.error["type"] == "api_error"
    else:
        assert client.error["code"] == "overloaded"
    assert [record.error for record in bench.ledger.records] == ["overloaded"]
    busy(bench, 0, 0)
    assert bench.outstanding() == {}


def test_it_is_counted_with_its_reason(now: StepClock) -> None:
    bench = bench_of(now)
    busy(bench, 28_000)
    for _ in range(3):
        bench.begin()
    assert bench.ledger.sheds == ["misses_objective"] * 3


def test_one_that_is_in_time_in_a_later_tier_goes_there(now: StepClock) -> None:
    bench = bench_of(now, 1, 1)
    busy(bench, 28_000, 1000)
    bench.begin()
    assert [len(engine.calls) for engine in bench.engines] == [0, 1]


def test_a_model_that_does_not_refuse_the_late_sends_them(now: StepClock) -> None:
    bench = bench_of(now, refuse_late_ms=None)
    busy(bench, 28_000)
    bench.begin()
    assert len(bench.calls) == 1


def test_of_a_replica_that_has_answered_nothing_nothing_is_known(now: StepClock) -> None:
    bench = Bench(now, policy="slo", refuse_late_ms=500.0)
    busy(bench, 28_000)
    bench.begin()
    assert len(bench.calls) == 1


def test_batch_work_may_be_late(now: StepClock) -> None:
    bench = bench_of(now)
    busy(bench, 28_000)
    bench.begin(priority=-1)
    assert len(bench.calls) == 1


def until_answered(bench: Bench, client: FakeConnection) -> None:
    while client.state == "waiting":
        bench.loop.fire()


def test_one_that_waits_is_told_once_it_cannot_be_in_time_any_more(now: StepClock) -> None:
    bench = bench_of(now, admission=ONE)
    bench.begin()
    _, client = bench.begin()
    began_s = now.now_s
    assert bench.route.line.waiting == 1
    until_answered(bench, client)
    assert (client.status, bench.ledger.sheds) == (503, ["misses_objective"])
    assert 0.4 < now.now_s - began_s < 0.5
    finish(bench.calls[0])
    assert (len(bench.calls), bench.outstanding()) == (1, {})


def test_one_that_waits_goes_where_there_is_room_in_time(now: StepClock) -> None:
    bench = bench_of(now, admission=ONE)
    bench.begin()
    _, client = bench.begin()
    now.now_s += 0.3
    finish(bench.calls[0])
    finish(bench.calls[1])
    assert client.state == "answered"
    assert (client.status, bench.ledger.sheds) == (200, [])


def test_whose_turn_comes_while_the_engine_has_too_much_to_do_first_is_refused(now: StepClock) -> None:
    bench = bench_of(now, admission=ONE)
    bench.begin()
    _, client = bench.begin()
    now.now_s += 0.3
    (state,) = bench.table
    state.set_remote(5000, 5000, 0)  # of other workers, half a second of prefill
    finish(bench.calls[0])
    assert (client.state, client.status) == ("answered", 503)
    assert bench.ledger.sheds == ["misses_objective"]
    assert (len(bench.calls), bench.route.line.waiting, bench.room.busy) == (1, 0, {})


def test_whose_wait_is_foreseen_to_be_too_long_does_not_wait(now: StepClock) -> None:
    bench = bench_of(now, admission=ONE)
    (state,) = bench.table
    state.decode.learn(50.0, now.now_s)
    bench.begin(max_tokens=200)
    _, client = bench.begin(max_tokens=200)
    assert (client.state, client.status) == ("answered", 503)
    assert bench.ledger.sheds == ["misses_objective"]


def test_batch_work_that_waits_makes_nobody_late_who_finds_room(now: StepClock) -> None:
    bench = bench_of(now, admission=AdmissionSettings(in_flight=4))
    (state,) = bench.table
    state.decode.learn(50.0, now.now_s)
    for _ in range(2):
        bench.begin(max_tokens=200)
    bench.begin(priority=-1)
    assert (len(bench.calls), bench.route.line.waiting) == (2, 1)
    _, client = bench.begin(max_tokens=200)
    assert (client.state, len(bench.calls), bench.ledger.sheds) == ("waiting", 3, [])


def test_who_need_not_wait_for_the_line_is_not_late_for_it(now: StepClock) -> None:
    """Those that wait want pictures, which replica 0 alone takes; replica 1 is idle."""
    bench = bench_of(now, 2, admission=ONE, filters=(OnlyAt(),))
    for state in bench.table:
        state.decode.learn(50.0, now.now_s)
    for most in (1, 200):
        bench.begin(messages=[{"role": "user", "content": PICTURE}], max_tokens=most)
    assert bench.route.line.waiting == 1
    bench.begin(max_tokens=200)
    assert ([call.replica for call in bench.calls], bench.ledger.sheds) == (["0", "1"], [])
