"""Background work: none is lost when it fails, none outlives the supervisor. Time is virtual."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from gateway.control.pacing import paced
from gateway.process.supervisor import MAX_BACKOFF_S, Supervisor
from tests.gateway.virtual_time import in_virtual_time


class Step:
    """A loop's step that notes when it ran and fails as told."""

    def __init__(self, *fails: bool) -> None:
        self.ran_at_s: list[float] = []
        self._fails = list(fails)

    async def __call__(self) -> None:
        self.ran_at_s.append(round(asyncio.get_running_loop().time(), 6))
        if self._fails and self._fails.pop(0):
            raise OSError("no route")


@pytest.fixture
def logged() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


def run_for(
    duration_s: float, begin: Callable[[Supervisor], None], end: Callable[[Supervisor], None] = lambda _: None
) -> None:
    async def work() -> None:
        supervisor = Supervisor()
        begin(supervisor)
        await asyncio.sleep(duration_s)
        end(supervisor)
        await supervisor.close()

    in_virtual_time(work)


def test_a_loop_runs_at_once_and_then_every_interval() -> None:
    step = Step()
    run_for(10.5, lambda supervisor: supervisor.loop("x", step, 5.0))
    assert step.ran_at_s == [0.0, 5.0, 10.0]


def test_a_loop_may_begin_one_interval_later() -> None:
    step = Step()
    run_for(10.5, lambda supervisor: supervisor.loop("x", step, 5.0, at_once=False))
    assert step.ran_at_s == [5.0, 10.0]


def test_a_failing_step_backs_off_and_recovers(logged: list[Any]) -> None:
    step = Step(True, True, True, False, True)
    run_for(25.0, lambda supervisor: supervisor.loop("x", step, 1.0))
    assert step.ran_at_s[:7] == [0.0, 2.0, 6.0, 14.0, 15.0, 17.0, 18.0]
    assert [line["failures"] for line in logged] == [1, 2, 3, 1]
    assert (logged[0]["loop"], logged[0]["error"]) == ("x", "OSError: no route")
    assert {type(line["exc_info"]) for line in logged} == {OSError}


@pytest.mark.usefixtures("logged")
def test_each_restart_of_a_loop_is_counted_and_one_that_never_failed_has_none() -> None:
    restarts: list[dict[str, int]] = []

    def begin(supervisor: Supervisor) -> None:
        supervisor.loop("bad", Step(True, True, False, True), 1.0)
        supervisor.loop("good", Step(), 1.0)

    run_for(12.0, begin, lambda supervisor: restarts.append(supervisor.restarts()))
    assert restarts == [{"bad": 3, "good": 0}]


def test_what_paced_work_raises_is_logged_by_its_first_error_and_whole_with_its_traceback(logged: list[Any]) -> None:
    async def probes() -> None:
        async def probe() -> None:
            raise OSError("no route")

        await paced([probe, probe])

    run_for(1.0, lambda supervisor: supervisor.loop("health", probes, 5.0))
    (line,) = logged
    assert (line["event"], line["loop"], line["error"]) == ("loop_failed", "health", "OSError: no route")
    assert [str(error) for error in line["exc_info"].exceptions] == ["no route", "no route"]
    assert line["exc_info"].exceptions[0].__traceback__.tb_frame.f_code.co_name == "probe"


@pytest.mark.usefixtures("logged")
def test_a_loop_whose_interval_cannot_be_told_is_restarted_as_late_as_can_be() -> None:
    step, restarts = Step(), []

    def every_s() -> float:
        raise KeyError("interval_s")

    run_for(
        65.0,
        lambda supervisor: supervisor.loop("x", step, every_s),
        lambda supervisor: restarts.append(supervisor.restarts()),
    )
    assert (step.ran_at_s, restarts) == ([0.0, 30.0, 60.0], [{"x": 3}])


def test_a_step_that_waits_for_something_cancelled_ends_no_loop(logged: list[Any]) -> None:
    ran: list[int] = []

    async def step() -> None:
        ran.append(1)
        if len(ran) == 1:
            somebody_elses: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            somebody_elses.cancel()
            await somebody_elses

    run_for(3.5, lambda supervisor: supervisor.loop("x", step, 1.0))
    assert (len(ran), [line["event"] for line in logged]) == (3, ["loop_failed"])


def test_close_ends_a_loop_in_its_step_without_counting_a_restart(logged: list[Any]) -> None:
    supervisors: list[Supervisor] = []

    async def step() -> None:
        await asyncio.Event().wait()

    run_for(1.0, lambda supervisor: supervisor.loop("x", step, 1.0), supervisors.append)
    assert ([supervisor.restarts() for supervisor in supervisors], logged) == ([{"x": 0}], [])


@pytest.mark.usefixtures("logged")
def test_the_back_off_has_a_limit() -> None:
    step = Step(*[True] * 40)
    run_for(1000.0, lambda supervisor: supervisor.loop("x", step, 0.15))
    waits = [round(later - earlier, 3) for earlier, later in itertools.pairwise(step.ran_at_s)]
    assert waits[:9] == [0.3, 0.6, 1.2, 2.4, 4.8, 9.6, 19.2, MAX_BACKOFF_S, MAX_BACKOFF_S]
    assert set(waits[9:]) == {MAX_BACKOFF_S}


@pytest.mark.usefixtures("logged")
def test_the_age_of_a_loop_is_that_of_its_last_success() -> None:
    ages: list[dict[str, float]] = []
    good, bad = Step(), Step(False, *[True] * 9)

    def begin(supervisor: Supervisor) -> None:
        supervisor.loop("good", good, 4.0)
        supervisor.loop("bad", bad, 4.0)

    run_for(11.0, begin, lambda supervisor: ages.append(supervisor.ages_s()))
    assert {name: round(age, 6) for name, age in ages[0].items()} == {"good": 3.0, "bad": 11.0}


def test_what_spawned_work_raises_is_logged_under_its_name(logged: list[Any]) -> None:
    async def fails() -> None:
        raise ValueError("odd")

    run_for(1.0, lambda supervisor: supervisor.spawn("chore", fails))
    assert [(line["event"], line["task"], str(line["exc_info"])) for line in logged] == [
        ("task_failed", "chore", "odd")
    ]


def test_close_cancels_everything_and_waits_until_it_has_cleaned_up() -> None:
    ended: list[str] = []

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3.0)
            ended.append("cleaned up")

    run_for(1.0, lambda supervisor: supervisor.spawn("x", cleans_up))
    assert ended == ["cleaned up"]


def test_work_spawned_while_closing_is_ended_too() -> None:
    ended: list[str] = []

    async def work() -> None:
        supervisor = Supervisor()

        async def late() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("late")

        async def spawns_another() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                supervisor.spawn("late", late)
                await asyncio.sleep(0)

        supervisor.spawn("x", spawns_another)
        await asyncio.sleep(1.0)
        await supervisor.close()

    in_virtual_time(work)
    assert ended == ["late"]


def test_a_cancelled_piece_of_work_is_no_failure(logged: list[Any]) -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    run_for(1.0, lambda supervisor: supervisor.spawn("x", gives_up))
    assert logged == []


class BrokenLog:
    """In the place of structlog's: whoever read it is gone."""

    def error(self, event: str, **fields: Any) -> None:
        raise BrokenPipeError(event)


def test_a_log_that_fails_ends_no_loop_and_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.process.supervisor.log", BrokenLog())
    step, unhandled = Step(True, True, False), []

    async def fails() -> None:
        raise ValueError("odd")

    def begin(supervisor: Supervisor) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        supervisor.loop("x", step, 1.0)
        supervisor.spawn("chore", fails)

    run_for(8.5, begin)
    assert (step.ran_at_s, unhandled) == ([0.0, 2.0, 6.0, 7.0, 8.0], [])
