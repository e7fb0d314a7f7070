"""The dispatcher in virtual time: sent when due, never because of an answer; each request has exactly one record."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtests.client.client import Client
from loadtests.client.dispatch import NO_CONNECTION_PAUSE_NS, Ahead, ClosedLoop, OpenLoop
from loadtests.client.record import Record
from loadtests.statistics.columns import columns
from loadtests.statistics.spread import spread
from loadtests.workloads.request import Request
from tests.loadtests.client.virtual import SERVICE_NS, Requests, World

pytestmark = pytest.mark.anyio
MS = 1_000_000
S = 1_000_000_000


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def open_loop(
    world: World,
    offsets: list[int],
    records: list[Record],
    workload: Requests | None = None,
    max_in_flight: int = 1000,
    end_ns: int = 3600 * S,
) -> OpenLoop:
    workload = workload or Requests()
    ahead = Ahead(workload, iter(range(len(offsets))))
    start_ns = world.now_ns
    return OpenLoop(
        cast(Client, world),
        workload,
        ahead,
        records.append,
        arrivals_ns=[start_ns + offset for offset in offsets],
        end_ns=start_ns + end_ns,
        max_in_flight=max_in_flight,
    )


def closed_loop(world: World, records: list[Record], users: int, end_ns: int, **options: Any) -> ClosedLoop:
    workload = options.pop("workload", None) or Requests()
    return ClosedLoop(
        cast(Client, world),
        workload,
        Ahead(workload, itertools.count()),
        records.append,
        starts_ns=[world.now_ns] * users,
        end_ns=world.now_ns + end_ns,
        **options,
    )


async def test_each_arrival_is_sent_at_its_time_however_slow_the_answers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, lambda request, now_ns: 100 * S)
    offsets = [0, 5 * MS, 5 * MS, 7 * MS, 900 * MS]
    records: list[Record] = []
    await world.run(open_loop(world, offsets, records))
    assert [(n, 0, S + offset) for n, offset in enumerate(offsets)] == world.sent
    assert [S + offset for offset in offsets] == [record.ti for record in sorted(records, key=lambda r: r.index)]


@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    offsets=st.lists(st.integers(0, 2 * S), max_size=60).map(sorted),
    service_ns=st.integers(0, 3 * S),
    limit=st.integers(1, 20),
)
def test_every_arrival_has_exactly_one_record(
    monkeypatch: pytest.MonkeyPatch, offsets: list[int], service_ns: int, limit: int
) -> None:
    async def check() -> None:
        world = World(monkeypatch, lambda request, now_ns: now_ns + service_ns)
        records: list[Record] = []
        dispatcher = open_loop(world, offsets, records, max_in_flight=limit)
        await world.run(dispatcher)
        assert list(range(len(offsets))) == sorted(record.index for record in records)
        dropped = [record for record in records if record.error == "dropped"]
        assert (len(dropped), len(offsets)) == (dispatcher.drops, dispatcher.sent + dispatcher.drops)
        assert {record.ti for record in dropped} <= {S + offset for offset in offsets}

    asyncio.run(check())


async def test_above_the_limit_arrivals_are_dropped_at_their_time_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, lambda request, now_ns: now_ns + 10 * MS)
    records: list[Record] = []
    dispatcher = open_loop(world, [0, MS, 2 * MS, 11 * MS], records, max_in_flight=2)
    await world.run(dispatcher)
    assert [(0, S), (1, S + MS), (3, S + 11 * MS)] == [(index, at) for index, _, at in world.sent]
    assert [(2, "dropped", 0, S + 2 * MS)] == [(r.index, r.error, r.ts, r.ti) for r in records if r.error]
    assert (3, 1) == (dispatcher.sent, dispatcher.drops)


def stalls(request: Request, now_ns: int) -> int:
    """A server that answers in 1 ms, and not at all in the third second of the run."""
    return max(now_ns, 4 * S) + MS if 3 * S <= now_ns < 4 * S else now_ns + MS


async def test_a_stall_of_one_second_shows_in_the_p99_of_an_open_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, stalls)
    records: list[Record] = []
    await world.run(open_loop(world, [n * 10 * MS for n in range(500)], records))
    measured = spread(columns(records).e2e_response_s)
    assert measured is not None
    assert 500 == measured.count
    assert measured.at(0.99) >= 0.9


async def test_late_sends_count_from_the_intended_time() -> None:
    # The client was stopped for 1 s: the headline must say so although each answer took 1 ms.
    records = [Record(index=n, ti=S, ts=2 * S, c1=2 * S + MS, ck=2 * S + MS, te=2 * S + MS) for n in range(10)]
    run = columns(records)
    np.testing.assert_allclose([1.001] * 10, run.ttft_response_s)
    np.testing.assert_allclose([0.001] * 10, run.ttft_service_s)


async def test_a_conversation_goes_on_after_the_thought_with_the_answer_it_got(world: World) -> None:
    workload = Requests(turns=3, think_s=0.5)
    records: list[Record] = []
    await world.run(open_loop(world, [0, 200 * MS], records, workload))
    turn_ns = 500 * MS + SERVICE_NS
    first = [(0, turn, S + turn * turn_ns) for turn in range(3)]
    second = [(1, turn, S + 200 * MS + turn * turn_ns) for turn in range(3)]
    assert sorted(first + second) == sorted(world.sent)
    assert {f"answer {n}.{turn}" for n in range(2) for turn in range(3)} == set(workload.heard)
    assert 6 == len(records)


async def test_a_failed_turn_ends_its_conversation(world: World) -> None:
    workload = Requests(turns=3)
    world.errors[0] = "http_500"
    records: list[Record] = []
    await world.run(open_loop(world, [0, MS], records, workload))
    assert [0, 1, 1, 1] == sorted(index for index, _, _ in world.sent)
    assert {} == workload.turn


async def test_nothing_is_sent_at_or_after_the_end(world: World) -> None:
    workload = Requests(turns=2, think_s=0.5)
    records: list[Record] = []
    await world.run(open_loop(world, [0, 99 * MS], records, workload, end_ns=100 * MS))
    assert [(0, 0), (1, 0)] == [(index, turn) for index, turn, _ in world.sent]
    assert {} == workload.turn


async def test_a_closed_loop_has_each_user_wait_for_its_answer(world: World) -> None:
    records: list[Record] = []
    await world.run(closed_loop(world, records, users=3, end_ns=10 * MS))
    assert 30 == len(records)
    assert all(record.ti == record.ts for record in records)
    at = [ts for _, _, ts in world.sent]
    assert {S + n * SERVICE_NS: 3 for n in range(10)} == {moment: at.count(moment) for moment in at}


async def test_a_user_thinks_between_two_requests(world: World) -> None:
    records: list[Record] = []
    await world.run(closed_loop(world, records, users=1, end_ns=100 * MS, think_s=0.024))
    assert [S + n * 25 * MS for n in range(4)] == [ts for _, _, ts in world.sent]


async def test_a_user_who_cannot_connect_does_not_hammer(world: World) -> None:
    world.errors = dict.fromkeys(range(100), "connect")
    records: list[Record] = []
    await world.run(closed_loop(world, records, users=1, end_ns=2 * NO_CONNECTION_PAUSE_NS))
    assert 2 == len(records)


async def test_a_stopped_run_sends_nothing_more_and_waits_for_what_is_in_flight(world: World) -> None:
    records: list[Record] = []
    dispatcher = open_loop(world, [0, 10 * S], records)
    running = asyncio.ensure_future(dispatcher.run())
    await world.settled(running)
    dispatcher.stop()
    assert not await world.settled(running)
    world.step()
    assert await world.settled(running)
    assert [0] == [record.index for record in records]


async def test_a_sink_that_fails_ends_the_run_with_its_error(world: World) -> None:
    def full(record: Record) -> None:
        raise OSError("the disk is full")

    dispatcher = open_loop(world, [0, MS], [])
    dispatcher._sink = full
    with pytest.raises(OSError, match="the disk is full"):
        await world.run(dispatcher)


def test_bodies_are_made_ahead_as_far_as_there_is_room() -> None:
    made: list[int] = []

    class Counted(Requests):
        def request(self, index: int) -> Request:
            made.append(index)
            return super().request(index)

    ahead = Ahead(Counted(), iter(range(5)), ahead_bytes=5)  # bodies of two bytes: a third one starts with 1 left
    ahead.fill()
    assert [0, 1, 2] == made
    assert [0, 1, 2, 3, 4] == [ahead.next().index for _ in range(5)]
    assert not ahead.make_one()
