"""A replica goes down and comes up after so many results in a row, and not sooner."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import OutOfSockets
from gateway.control.asking.asked import Asked
from gateway.control.asking.health import HealthBoard, HealthLoop, ProbeRun
from gateway.control.pacing import AT_ONCE, PAUSE_S, PER_TURN
from gateway.fleet.steps import at_once
from gateway.refusing import shortage
from gateway.settings import Health
from routing.replicas.replica import ReplicaKey
from tests.gateway.flights import FakeEngine
from tests.gateway.virtual_time import in_virtual_time

results = st.lists(st.booleans(), max_size=40)
limits = st.integers(1, 4)


def after(told: list[bool], unhealthy_after: int, healthy_after: int) -> list[bool]:
    """Up or down after each result, as the rule is told: the oracle looks back over all results."""
    up, states = True, []
    since = 0  # the first result since the last change
    for place in range(len(told)):
        needed = unhealthy_after if up else healthy_after
        last = told[since : place + 1][-needed:]
        if len(last) == needed and all(result != up for result in last):
            up, since = not up, place + 1
        states.append(up)
    return states


@settings(deadline=None)
@given(results, limits, limits)
def test_a_run_changes_after_so_many_results_in_a_row(told: list[bool], down: int, up: int) -> None:
    run, states = ProbeRun(), []
    for healthy in told:
        run = run.after(healthy, unhealthy_after=down, healthy_after=up)
        states.append(run.up)
    assert states == after(told, down, up)


def test_a_replica_starts_up() -> None:
    assert ProbeRun().up
    assert HealthBoard().down == set()


@settings(deadline=None)
@given(results)
def test_a_note_tells_of_changes_and_of_nothing_else(told: list[bool]) -> None:
    board, up = HealthBoard(), True
    for healthy in told:
        changed = board.note(("e", "0"), healthy, unhealthy_after=2, healthy_after=1)
        assert changed == (board.down == ({("e", "0")} if up else set()))
        up ^= changed


def test_replicas_are_judged_apart() -> None:
    board = HealthBoard()
    for _ in range(2):
        board.note(("e", "0"), False, unhealthy_after=2, healthy_after=1)
        board.note(("e", "1"), True, unhealthy_after=2, healthy_after=1)
    assert board.down == {("e", "0")}


def test_a_replica_that_is_gone_is_forgotten_and_comes_back_up() -> None:
    board = HealthBoard()
    board.note(("e", "0"), False, unhealthy_after=1, healthy_after=1)
    asked = Asked()
    asked.add("e", "1")
    at_once(board.keep(asked))
    assert board.down == set()
    board.note(("e", "0"), False, unhealthy_after=2, healthy_after=1)
    assert board.down == set()


class Refusing(FakeEngine):
    """Says in each round what comes next."""

    def __init__(self, *said: str) -> None:
        super().__init__("a", 1, (), True)
        self._said = list(said)

    async def probe(self, replica_id: str) -> str:
        return self._said.pop(0)


@pytest.mark.parametrize(
    ("said", "events"),
    [
        (("refused", "refused"), []),
        (("refused", "no such host"), [(False, "no such host")]),
        (("refused", "", "refused", "refused"), [(False, "refused")]),
        (("refused", "refused", "", "refused", "refused"), [(True, None), (False, "refused")]),
    ],
)
@pytest.mark.anyio
async def test_what_was_told_when_the_gateway_opened_is_not_told_again(said: Any, events: Any) -> None:
    board, engine = HealthBoard(), Refusing(*said)
    loop = HealthLoop(board, lambda: [("a", engine)], lambda: None)
    rule = Health(unhealthy_after=2, healthy_after=1)
    with structlog.testing.capture_logs() as logs:
        await loop.probe_all(rule)
        for key, why in board.why.items():
            board.told(key, why)
        for _ in said[1:]:
            await loop.probe_all(rule)
    assert events == [(line["healthy"], line.get("why")) for line in logs if line["event"] == "replica_health"]


class Probed(FakeEngine):
    """Answers each probe as it is told to; None when we have no descriptor for it."""

    def __init__(self, replicas: int) -> None:
        super().__init__("e", replicas, (), True)
        self.up: bool | None = True

    async def probe(self, replica_id: str) -> str:
        if self.up is None:
            raise OutOfSockets("the gateway can open no more connections: too many open files")
        return "" if self.up else "connection refused"


@pytest.mark.anyio
async def test_a_gateway_without_descriptors_judges_no_replica_and_says_so_once() -> None:
    board, engine, unsent, told = HealthBoard(), Probed(2), list[str](), list[list[ReplicaKey]]()
    loop = HealthLoop(board, lambda: [("e", engine)], lambda: told.append(sorted(board.down)), unsent.append)
    rule = Health(unhealthy_after=2, healthy_after=2)

    async def rounds(count: int) -> list[list[ReplicaKey]]:
        told.clear()
        for _ in range(count):
            await loop.probe_all(rule)
        return list(told)

    every = [("e", "0"), ("e", "1")]
    shortage.over()  # one that an earlier test of this process had
    with structlog.testing.capture_logs() as lines:
        engine.up = None
        assert await rounds(4) == []
    assert (board.down, unsent) == (set(), ["e"] * 8)
    assert [line["event"] for line in lines] == ["out_of_sockets"]
    engine.up = False
    assert await rounds(2) == [every]
    engine.up = None
    assert await rounds(1) == []
    assert board.down == set(every)  # as they were
    engine.up = True
    assert await rounds(2) == [[]]


class Slow(FakeEngine):
    """Notes when each probe begins; an answer takes `answer_s`. The first replica is down."""

    def __init__(self, name: str, replicas: int, answer_s: float) -> None:
        super().__init__(name, replicas, (), True)
        self.answer_s = answer_s
        self.begun: list[float] = []
        self.in_flight = self.most = 0

    async def probe(self, replica_id: str) -> str:
        self.begun.append(asyncio.get_running_loop().time())
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(self.answer_s)
        self.in_flight -= 1
        return "" if replica_id != "0" else "connection refused"


def probed(engine: Slow) -> list[tuple[float, list[ReplicaKey]]]:
    """One round; when what was told, and at last what is known at its end."""
    told: list[tuple[float, list[ReplicaKey]]] = []

    async def work() -> None:
        loop, board = asyncio.get_running_loop(), HealthBoard()
        health = HealthLoop(
            board, lambda: [(engine.name, engine)], lambda: told.append((loop.time(), sorted(board.down)))
        )
        await health.probe_all(Health(unhealthy_after=1))
        told.append((loop.time(), sorted(board.down)))

    in_virtual_time(work)
    return told


def test_the_probes_of_a_large_fleet_begin_a_few_in_each_turn() -> None:
    engine = Slow("e", 1000, 0.001)
    probed(engine)
    assert len(engine.begun) == 1000
    assert max(Counter(engine.begun).values()) == PER_TURN
    assert engine.begun[-1] == pytest.approx((1000 // PER_TURN - 1) * PAUSE_S)


def test_replicas_that_are_silent_hold_no_more_than_so_many_probes() -> None:
    engine = Slow("e", 1000, 60.0)
    probed(engine)
    assert (len(engine.begun), engine.most) == (1000, AT_ONCE)


def test_workers_hear_of_a_replica_that_is_down_before_the_round_is_over() -> None:
    (first_s, first), (end_s, down) = probed(Slow("e", 1000, 0.001))
    assert first == [("e", "0")]
    assert first_s == pytest.approx(PAUSE_S)
    assert end_s > 100 * PAUSE_S
    assert down == [("e", "0")]


def test_rounds_begin_once_in_an_interval_and_at_once_when_one_took_longer() -> None:
    async def work() -> None:
        engine = Slow("e", 2, 2.0)
        health = HealthLoop(HealthBoard(), lambda: [("e", engine)], lambda: None)
        assert health.rest_s(5.0) == 5.0
        await health.probe_all(Health())
        assert health.rest_s(5.0) == 3.0
        engine.answer_s = 7.0
        await health.probe_all(Health())
        assert health.rest_s(5.0) == 0.0

    in_virtual_time(work)
