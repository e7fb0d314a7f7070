"""A replica goes down and comes up after so many results in a row, and not sooner."""

from __future__ import annotations

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import OutOfSockets
from gateway.control.health import HealthBoard, HealthLoop, ProbeRun
from gateway.settings import Health
from tests.gateway.flights import FakeEngine

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
    assert HealthBoard().down() == []


@settings(deadline=None)
@given(results)
def test_a_note_tells_of_changes_and_of_nothing_else(told: list[bool]) -> None:
    board, up = HealthBoard(), True
    for healthy in told:
        changed = board.note(("e", "0"), healthy, unhealthy_after=2, healthy_after=1)
        assert changed == (board.down() == ([("e", "0")] if up else []))
        up ^= changed


def test_replicas_are_judged_apart() -> None:
    board = HealthBoard()
    for _ in range(2):
        board.note(("e", "0"), False, unhealthy_after=2, healthy_after=1)
        board.note(("e", "1"), True, unhealthy_after=2, healthy_after=1)
    assert board.down() == [("e", "0")]


def test_a_replica_that_is_gone_is_forgotten_and_comes_back_up() -> None:
    board = HealthBoard()
    board.note(("e", "0"), False, unhealthy_after=1, healthy_after=1)
    board.keep({("e", "1")})
    assert board.down() == []
    board.note(("e", "0"), False, unhealthy_after=2, healthy_after=1)
    assert board.down() == []


class Probed(FakeEngine):
    """Answers each probe as it is told to; None when we have no descriptor for it."""

    def __init__(self, replicas: int) -> None:
        super().__init__("e", replicas, (), True)
        self.up: bool | None = True

    async def probe(self, replica_id: str) -> bool:
        if self.up is None:
            raise OutOfSockets("the gateway can open no more connections: too many open files")
        return self.up


@pytest.mark.anyio
async def test_a_gateway_without_descriptors_judges_no_replica_and_says_so_once() -> None:
    board, engine, unsent = HealthBoard(), Probed(3), list[str]()
    loop = HealthLoop(board, lambda: [("e", engine)], unsent.append)
    rule = Health(unhealthy_after=2, healthy_after=2)
    with structlog.testing.capture_logs() as lines:
        engine.up = None
        assert [await loop.probe_all(rule) for _ in range(4)] == [False] * 4
    assert (board.down(), unsent) == ([], ["e"] * 12)
    assert [line["event"] for line in lines] in (["out_of_sockets"], [])  # a spell of another test may last
    engine.up = False
    assert [await loop.probe_all(rule) for _ in range(2)] == [False, True]
    engine.up = None
    assert await loop.probe_all(rule) is False
    assert board.down() == [("e", "0"), ("e", "1"), ("e", "2")]  # as they were
    engine.up = True
    assert [await loop.probe_all(rule) for _ in range(2)] == [False, True]
