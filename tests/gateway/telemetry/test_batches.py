"""Bounded hand-over: nothing waits for the thread, everything dropped is counted."""

from __future__ import annotations

import threading

from gateway.accounts.record import RequestRecord
from gateway.telemetry.batches import MAX_BATCHES, BatchThread
from tests.gateway.telemetry.records import record


class Stuck:
    """A consumer that waits to be let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()
        self.seen: list[str] = []

    def __call__(self, batch: list[RequestRecord]) -> int:
        self.entered.set()
        self.go.wait()
        self.seen += [one.request_id for one in batch]
        return 0


def test_records_arrive_in_order_and_close_waits_for_them() -> None:
    seen: list[str] = []
    dropped: list[int] = []

    def consume(batch: list[RequestRecord]) -> int:
        seen.extend(one.request_id for one in batch)
        return 0

    batches = BatchThread("test", consume, dropped.append)
    for number in range(5):
        batches.write(record(str(number)))
        if number == 2:
            batches.flush()
    batches.close(60)
    assert seen == ["0", "1", "2", "3", "4"]
    assert dropped == []
    assert not batches.alive


def test_a_consumer_that_is_behind_costs_records_not_time_or_memory() -> None:
    stuck, dropped = Stuck(), list[int]()
    batches = BatchThread("test", stuck, dropped.append, max_waiting=2)
    batches.write(record("in hand"))
    batches.flush()
    stuck.entered.wait()
    for number in range(MAX_BATCHES):
        batches.write(record(f"queued {number}"))
        batches.flush()
    for number in range(5):
        batches.write(record(f"waiting {number}"))
    assert dropped == []
    batches.flush()
    assert dropped == [3]
    stuck.go.set()
    batches.close(60)
    assert stuck.seen == ["in hand", "queued 0", "queued 1", "waiting 0", "waiting 1"]
    assert dropped == [3]


def test_close_gives_up_on_a_stuck_consumer_and_counts_what_it_held() -> None:
    stuck, dropped = Stuck(), list[int]()
    batches = BatchThread("test", stuck, dropped.append)
    batches.write(record("in hand"))
    batches.flush()
    stuck.entered.wait()
    for _ in range(MAX_BATCHES):
        batches.write(record())
        batches.flush()
    batches.write(record())
    batches.close(0)
    assert dropped == [MAX_BATCHES + 1]
    assert batches.alive
    stuck.go.set()
    batches.close(60)
    assert stuck.seen == ["in hand"]


def test_a_consumer_that_raises_loses_its_batch_and_not_the_thread() -> None:
    seen: list[str] = []
    dropped: list[int] = []

    def consume(batch: list[RequestRecord]) -> int:
        if batch[0].request_id == "bad":
            raise ValueError("boom")
        seen.extend(one.request_id for one in batch)
        return 0

    batches = BatchThread("test", consume, dropped.append)
    batches.write(record("bad"))
    batches.flush()
    batches.write(record("good"))
    batches.close(60)
    assert seen == ["good"]
    assert sum(dropped) == 1


def test_what_the_consumer_lost_is_told_once() -> None:
    dropped: list[int] = []
    batches = BatchThread("test", len, dropped.append)
    batches.write(record())
    batches.write(record())
    batches.close(60)
    batches.flush()
    assert dropped == [2]
