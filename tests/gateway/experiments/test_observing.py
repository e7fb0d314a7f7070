"""What the gate hears of a request, when, and what it does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engines.errors import AnswerTruncated, ConnectFailed
from gateway.errors import TABLE
from gateway.experiments.observing import AT_ONCE, Observing, is_arms_fault
from gateway.telemetry.metrics import Metrics
from gateway.workers.exchange.messages import Observed
from routing.experiments.experiment import Assignment
from routing.gate.observation import (
    ATTEMPT_FAILED,
    ERROR,
    LENGTH_STOP,
    REFUSED,
    Assigned,
    Completed,
    Settled,
)
from tests.gateway.flights import NO_RETRY, Bench, FakeExchange, StepClock
from tests.gateway.relayed import DONE, FINISH, USAGE, chunk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("now")]

GIVEN = Assignment("id", "canary", 1, 7, (0.75, 0.25))


class Link:
    """What was told, and whether there is room."""

    def __init__(self) -> None:
        self.room = True
        self.told: list[Observed] = []

    def tell(self, message: Observed) -> bool:
        if self.room:
            self.told.append(message)
        return self.room


def lost(metrics: Metrics) -> float:
    counters, _ = metrics.others()
    return sum(one.value for one in counters if one.name == "penstock_experiment_observations_lost_total")


async def test_what_is_seen_leaves_by_a_timer_together_and_nothing_has_one_before() -> None:
    link = Link()
    observing = Observing(link.tell, Metrics(()), every_s=0.0)
    assert observing._timer is None
    for _ in range(3):
        observing.assigned(GIVEN)
    assert link.told == []
    while not link.told:
        await asyncio.sleep(0)
    (message,) = link.told
    assert message.seen.observations == [Assigned("id", 1, 7, (0.75, 0.25))] * 3
    assert observing._timer is None


async def test_many_leave_in_messages_of_a_size_that_holds_nobody_up() -> None:
    link = Link()
    observing = Observing(link.tell, Metrics(()), every_s=3600)
    for _ in range(2 * AT_ONCE + 1):
        observing.assigned(GIVEN)
    observing.flush()
    assert [len(message.seen.observations) for message in link.told] == [AT_ONCE, AT_ONCE, 1]


async def test_what_finds_no_room_is_dropped_and_counted() -> None:
    link, metrics = Link(), Metrics(())
    observing = Observing(link.tell, metrics, every_s=3600, most=2)
    for _ in range(5):
        observing.assigned(GIVEN)
    assert lost(metrics) == 3
    link.room = False
    observing.flush()
    assert lost(metrics) == 5
    link.room = True
    observing.assigned(GIVEN)
    observing.flush()
    assert [len(message.seen.observations) for message in link.told] == [1]


@pytest.mark.parametrize(
    ("kind", "arms"),
    [
        *[(kind, False) for kind in TABLE if TABLE[kind].status < 500],
        *[(kind, False) for kind in ("draining", "internal", "store_away", "engine_400", "engine_422", "engine_499")],
        *[(kind, True) for kind in ("timeout", "no_replica", "connection_lost", "overloaded", "answer_truncated")],
        *[(kind, True) for kind in ("engine_500", "engine_529", "engine_auth", "engine_model", "rate_limited")],
        ("engine_408", True),
    ],
)
def test_a_failure_is_the_arms_unless_the_client_or_this_gateway_brought_it_about(kind: str, arms: bool) -> None:
    assert is_arms_fault(kind) == arms


def settled(bench: Bench, link: Link) -> Settled:
    """What the gate heard of the only request that is over."""
    observing = bench.ledger.accounting.observing
    assert observing is not None
    observing.flush()
    (one,) = [one for message in link.told for one in message.seen.observations if isinstance(one, Settled)]
    assert (one.experiment, one.arm, one.unit, one.shares) == ("id", 1, 7, (0.75, 0.25))
    return one


def bench_of(link: Link, clock: StepClock, *tiers: int, **more: Any) -> Bench:
    bench = Bench(clock, *tiers, **more)
    bench.ledger.accounting.observing = Observing(link.tell, bench.metrics, every_s=3600)
    return bench


def whole(call: FakeExchange) -> None:
    call.head()
    call.read(chunk(), chunk())
    call.done(FINISH, USAGE, DONE)


async def test_a_stream_that_went_well_is_told_with_its_times_and_what_else_was_in_flight(now: StepClock) -> None:
    link = Link()
    bench = bench_of(link, now)
    bench.begin()
    flight, _ = bench.begin(assignment=GIVEN)
    now.now_s += 0.5
    call = bench.calls[1]
    call.head()
    call.read(chunk())
    now.now_s += 0.6
    call.done(FINISH, USAGE, DONE)
    one = settled(bench, link)
    assert one.record_id == flight.record_id.decode()
    assert (one.flags, one.in_flight) == (0, 2)
    assert (one.ttft_ms, one.tpot_ms, one.duration_ms) == pytest.approx((500.0, 100.0, 1100.0))
    bench.calls[0].failed(AnswerTruncated("closed"))


async def test_time_lost_to_attempts_that_failed_is_the_arms(now: StepClock) -> None:
    link = Link()
    bench = bench_of(link, now, 2)
    bench.begin(assignment=GIVEN)
    now.now_s += 2.0
    bench.calls[0].failed(ConnectFailed("refused"))
    now.now_s += 0.5
    whole(bench.calls[1])
    one = settled(bench, link)
    assert one.flags == ATTEMPT_FAILED  # it was mended, so it is no error
    assert one.ttft_ms == pytest.approx(2500.0)


@pytest.mark.parametrize("left", [False, True])
async def test_a_failure_that_nobody_mends_is_an_error_and_a_client_that_leaves_is_none(
    now: StepClock, left: bool
) -> None:
    link = Link()
    bench = bench_of(link, now, retry=NO_RETRY)
    flight, client = bench.begin(assignment=GIVEN)
    if left:
        flight.client_gone()
    else:
        bench.calls[0].failed(ConnectFailed("refused"))
    one = settled(bench, link)
    assert one.flags == (0 if left else ERROR | ATTEMPT_FAILED)
    assert (one.ttft_ms, one.duration_ms) == (None, None)
    assert left or client.headers["x-penstock-arm"] == "canary"


async def test_a_cut_stream_is_an_error_although_its_client_was_told_200(now: StepClock) -> None:
    link = Link()
    bench = bench_of(link, now)
    bench.begin(assignment=GIVEN)
    (call,) = bench.calls
    call.head()
    call.read(chunk())
    call.failed(AnswerTruncated("closed"))
    one = settled(bench, link)
    assert one.flags == ERROR | ATTEMPT_FAILED
    assert one.duration_ms is None


async def test_the_clients_own_mistake_is_no_error(now: StepClock) -> None:
    link = Link()
    bench = bench_of(link, now)
    bench.begin(assignment=GIVEN)
    bench.calls[0].answer(400, b'{"error": {"message": "no", "type": "invalid_request_error"}}')
    assert settled(bench, link).flags == 0


@pytest.mark.parametrize(("reason", "flag"), [("length", LENGTH_STOP), ("content_filter", REFUSED), ("stop", 0)])
async def test_how_an_answer_ends_is_told(now: StepClock, reason: str, flag: int) -> None:
    link = Link()
    bench = bench_of(link, now)
    bench.begin(assignment=GIVEN)
    (call,) = bench.calls
    call.head()
    call.read(chunk())
    call.done(chunk("", reason), USAGE, DONE)
    assert settled(bench, link).flags == flag


async def test_nobody_hears_of_a_request_that_is_not_counted_or_in_no_experiment(now: StepClock) -> None:
    link = Link()
    bench = bench_of(link, now)
    for assignment in (None, Assignment("id", "control", 0)):
        bench.begin(assignment=assignment)
        whole(bench.calls[-1])
    observing = bench.ledger.accounting.observing
    assert observing is not None
    observing.flush()
    assert link.told == []
    assert [(record.arm, record.experiment) for record in bench.ledger.records] == [("", ""), ("control", "")]


async def test_an_arm_without_any_replica_keeps_its_failure_in_record_and_metrics(now: StepClock) -> None:
    link = Link()
    bench = bench_of(link, now)
    for state in bench.table:
        state.draining = True
    bench.begin(assignment=GIVEN)
    one = settled(bench, link)
    (record,) = bench.ledger.records
    assert (one.flags, one.in_flight) == (ERROR, 0)
    assert (record.arm, record.experiment, record.unit) == ("canary", "id", f"{7:016x}")
    assert [series.key for series in bench.metrics.snapshot().series if series.errors] == [("m", "", "canary")]


def kinds(link: Link) -> list[type]:
    return [type(one) for message in link.told for one in message.seen.observations]


async def test_what_is_over_before_its_assignment_has_left_is_told_once(now: StepClock) -> None:
    link = Link()
    bench = bench_of(link, now)
    bench.begin(assignment=GIVEN)
    bench.begin(assignment=GIVEN)
    whole(bench.calls[1])  # the other one goes on
    observing = bench.ledger.accounting.observing
    assert observing is not None
    observing.flush()
    assert kinds(link) == [Assigned, Completed]
    whole(bench.calls[0])
    observing.flush()
    assert kinds(link) == [Assigned, Completed, Settled]
    assert link.told[0].seen.observations[0] == GIVEN.told


async def test_whoever_was_never_told_of_an_assignment_is_told_of_its_end_alone(now: StepClock) -> None:
    link = Link()
    bench = bench_of(link, now)
    bench.begin(assignment=GIVEN)
    bench.ledger.accounting.observing = Observing(link.tell, Metrics(()), every_s=3600)
    whole(bench.calls[0])
    bench.ledger.accounting.observing.flush()
    assert kinds(link) == [Settled]
