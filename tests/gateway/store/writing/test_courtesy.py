"""The writer's thread stands back, unless somebody waits for it."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from gateway.store.writing.courtesy import Courtesy


class Scheduler:
    def __init__(self) -> None:
        self.courteous: list[bool] = []

    def __call__(self, thread_id: int, courteous: bool) -> None:
        assert thread_id == threading.get_native_id()
        self.courteous.append(courteous)


def begun() -> tuple[Courtesy, Scheduler]:
    scheduler = Scheduler()
    courtesy = Courtesy(hurry_bytes=100, schedule=scheduler)
    courtesy.begin()
    return courtesy, scheduler


def test_it_stands_back_from_its_beginning() -> None:
    assert begun()[1].courteous == [True]


def test_nothing_happens_before_there_is_a_thread() -> None:
    scheduler = Scheduler()
    courtesy = Courtesy(schedule=scheduler)
    courtesy.waits(0)
    with courtesy.suspended():
        pass
    assert scheduler.courteous == []


def test_it_hurries_while_too_much_waits_until_half_of_that_is_written() -> None:
    courtesy, scheduler = begun()
    for size in (100, 101, 51, 50, 100):
        courtesy.waits(size)
    assert scheduler.courteous == [True, False, True]


def test_whoever_asks_is_not_kept_waiting() -> None:
    courtesy, scheduler = begun()
    with courtesy.suspended(), courtesy.suspended():
        courtesy.waits(0)
        assert scheduler.courteous == [True, False]
    assert scheduler.courteous == [True, False, True]


class Threads:
    """Notes how each thread stands."""

    def __init__(self) -> None:
        self.courteous: dict[int, bool] = {}

    def __call__(self, thread_id: int, courteous: bool) -> None:
        self.courteous[thread_id] = courteous


def test_of_several_threads_all_come_forward_when_asked_and_one_alone_while_it_holds_something() -> None:
    threads = Threads()
    courtesy = Courtesy(schedule=threads)
    courtesy.begin()
    seen: list[list[bool]] = []

    def work() -> None:
        courtesy.begin()
        here, there = threading.get_native_id(), next(iter(threads.courteous))

        def see() -> None:
            seen.append([threads.courteous[here], threads.courteous[there]])

        see()
        with courtesy.suspended():
            see()
            with courtesy.holding():
                see()
        with courtesy.holding():
            see()
        see()
        courtesy.end()
        del threads.courteous[here]

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[True, True], [False, False], [False, False], [False, True], [True, True]]
    with courtesy.suspended():
        assert threads.courteous == {threading.get_native_id(): False}  # who has ended is let alone


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has SCHED_IDLE")
def test_linux_lets_a_thread_stand_back_and_come_forward() -> None:
    seen: list[int] = []

    def work() -> None:
        courtesy = Courtesy()
        courtesy.begin()
        seen.append(os.sched_getscheduler(0))
        with courtesy.suspended():
            seen.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [os.SCHED_IDLE, os.SCHED_OTHER]
