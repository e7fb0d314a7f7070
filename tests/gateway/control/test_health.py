"""A replica goes down and comes up after so many results in a row, and not sooner."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.control.health import HealthBoard, ProbeRun

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
