"""Ids of records sort by time, say whose they are, and none comes twice."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation
from engines.wire import DIALECTS
from gateway import clock
from gateway.record_ids import RecordIds, id_lines, time_ms
from tests.gateway.runs import run_of

RUN = "0123456789ab"


def test_an_id_is_a_uuid_of_version_7() -> None:
    found = uuid.UUID(RecordIds().next(clock.monotonic()).decode())
    assert (found.version, found.variant) == (7, uuid.RFC_4122)


def test_an_id_begins_with_the_wall_clocks_milliseconds() -> None:
    before = int(clock.wall() * 1e3)
    ids = RecordIds(RUN)
    made = time_ms(ids.next(clock.monotonic()).decode())
    assert before - 1 <= made <= int(clock.wall() * 1e3) + 1


@settings(deadline=None)
@given(st.lists(st.floats(0, 0.01), min_size=1, max_size=700))
def test_ids_of_one_worker_sort_as_they_were_made(steps_s: list[float]) -> None:
    ids, now_s, made = RecordIds(RUN), clock.monotonic(), []
    for step_s in steps_s:
        made.append(ids.next(now_s))
        now_s += min(step_s, 0.9 / len(steps_s))  # within one look at the wall clock, which may step
    assert made == sorted(set(made))
    assert {run_of(one.decode()) for one in made} == {RUN}
    assert {len(one) for one in made} == {32}


def test_the_counter_goes_on_past_every_digit() -> None:
    ids, now_s = RecordIds(RUN), clock.monotonic()
    made = [ids.next(now_s) for _ in range(0x10010)]
    assert [int(one[26:], 16) for one in made] == list(range(1, 0x10011))


def test_two_workers_never_make_the_same_id() -> None:
    first, second = RecordIds(), RecordIds()
    assert (len(first.run), first.run != second.run) == (12, True)


def test_the_client_is_told_both_ids() -> None:
    named = id_lines(b"theirs", b"0a", DIALECTS[Operation.CHAT])
    assert named == b"x-request-id: theirs\r\nx-penstock-record-id: 0a\r\n"


@pytest.mark.parametrize("operation", [Operation.MESSAGES, Operation.COUNT_TOKENS])
def test_clients_of_anthropic_s_find_it_under_their_name_too(operation: Operation) -> None:
    named = id_lines(b"theirs", b"0a", DIALECTS[operation])
    assert named == b"x-request-id: theirs\r\nrequest-id: theirs\r\nx-penstock-record-id: 0a\r\n"
