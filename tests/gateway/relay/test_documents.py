"""Plain answers: they pass whole, or are errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from engines.errors import EngineError
from engines.model import Operation, Usage
from gateway.relay.document import ERROR_BYTES, HOLD_BYTES, usage_in
from routing.route import RetrySettings
from tests.engines.test_sse import parsed, pieces
from tests.gateway.flights import JSON, KEEN, NO_RETRY, Bench, FakeConnection, StepClock
from tests.gateway.relayed import BREAKS, DONE, ERROR, PROCESSING, answer, chunk

pytestmark = pytest.mark.usefixtures("now")
T = TypeVar("T")


def plain(
    *parts: bytes, end: EngineError | None = None, status: int = 200, retry: RetrySettings = KEEN
) -> tuple[FakeConnection, Bench]:
    bench = Bench(StepClock(), retry=retry)
    _, client = bench.begin(stream=False)
    (call,) = bench.calls
    call.head(status, JSON)
    call.read(*parts)
    if call.open and end is None:
        call.done()
    elif end is not None:
        call.failed(end)
    assert len(bench.ledger.settled) == 1
    assert bench.outstanding() == {}
    return client, bench


def test_a_plain_answer_passes_whole_with_its_cost() -> None:
    body = answer()
    client, bench = plain(body[:10], body[10:])
    assert (client.status, client.body, len(client.writes)) == (200, body, 1)
    assert client.headers["x-penstock-cost-usd"] == "0.000000000000"
    assert (bench.ledger.answered.usage, bench.ledger.answered.finish_reason) == (Usage(11, 7), "stop")


def test_an_answer_too_large_to_hold_passes_and_its_usage_is_found_at_its_end() -> None:
    body = answer(HOLD_BYTES + 100_000)
    client, bench = plain(*pieces(body, [1, 1000, HOLD_BYTES, HOLD_BYTES + 5]))
    assert (client.state, client.body == body) == ("answered", True)
    assert bench.ledger.answered.usage == Usage(11, 7)


def test_the_pieces_of_one_read_of_a_large_answer_leave_together() -> None:
    body = answer(HOLD_BYTES + 100_000)
    held, rest = body[: HOLD_BYTES + 1], body[HOLD_BYTES + 1 :]
    client, bench = plain(held, *[rest[at : at + 100] for at in range(0, len(rest), 100)])
    assert (client.state, client.body == body) == ("answered", True)
    assert [len(write) for write in client.writes if write] == [len(held), len(rest)]
    assert bench.ledger.answered.usage == Usage(11, 7)


def large_error(size: int, **members: Any) -> bytes:
    return json.dumps({"error": {"message": "x" * size, "code": 503, **members}}).encode()


@pytest.mark.parametrize("cuts", [[], [HOLD_BYTES + 1], [100, HOLD_BYTES + 1, HOLD_BYTES + 2]])
def test_an_error_too_large_to_hold_is_a_failed_attempt_with_the_status_it_names(cuts: list[int]) -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    bench.calls[0].head(200, JSON)
    for piece in pieces(large_error(HOLD_BYTES + 100_000), cuts):
        bench.calls[0].read(piece)
    assert client.state == "waiting"
    bench.calls[0].done()
    bench.calls[1].answer(200, answer())
    assert (client.status, client.body) == (200, answer())
    (record,) = bench.ledger.records
    assert (record.error, record.attempts, bench.ledger.retries) == ("", 2, ["overloaded"])
    assert bench.outstanding() == {}


def test_an_error_too_large_to_hold_for_which_nobody_is_left_is_told_as_it_came() -> None:
    body = large_error(HOLD_BYTES + 100_000)
    client, bench = plain(body, retry=NO_RETRY)
    assert (client.status, client.body == body) == (503, True)
    assert bench.ledger.records[0].error == "engine_503"


def test_an_error_without_end_is_refused_and_its_engine_stopped() -> None:
    begun = large_error(2 * ERROR_BYTES)[: ERROR_BYTES + 1]
    client, bench = plain(begun[:-1], begun[-1:], retry=NO_RETRY)
    assert (client.status, client.error["code"], bench.calls[0].aborted) == (502, "engine_error", True)


def at_best(seconds: Callable[[T], float], of: T) -> float:
    """The least of three: a collection of garbage, or a machine that stood still, is no cost of what is read."""
    return min(seconds(of) for _ in range(3))


def test_an_error_in_tiny_pieces_costs_no_more_than_an_answer_that_is_held() -> None:
    begun = b"{" + b'"a":1,' * 143 + b'"error":{"message":"'  # the dearest to tell
    body = begun + b"x" * (HOLD_BYTES + 1 - len(begun))
    tiny = [b"x"] * 20_000

    def seconds(beginning: bytes) -> float:
        call = Bench(StepClock(), retry=NO_RETRY)
        call.begin(stream=False)
        (exchange,) = call.calls
        exchange.head(200, JSON)
        exchange.read(beginning)
        before = time.thread_time()
        exchange.read(*tiny)
        return time.thread_time() - before

    assert at_best(seconds, body) < 10 * at_best(seconds, body[: HOLD_BYTES // 2])


def test_a_piece_of_a_large_event_costs_no_more_than_one_of_a_small() -> None:
    """Only what is new is searched: 7 MiB in small pieces took 88 s."""
    tiny = [b"x"] * 2_000

    def seconds(size: int) -> float:
        call = Bench(StepClock(), retry=NO_RETRY)
        call.begin()
        (exchange,) = call.calls
        exchange.head()
        exchange.read(b'data: {"choices":[{"delta":{"content":"' + b"x" * size)
        before = time.thread_time()
        exchange.read(*tiny)
        return time.thread_time() - before

    assert at_best(seconds, 4 * 1024 * 1024) < 20 * at_best(seconds, 1024)


def test_a_large_answer_whose_error_is_null_passes() -> None:
    body = b'{"id":"r","error":null,"status":"completed","output":"' + b"x" * HOLD_BYTES + b'"}'
    client, bench = plain(body)
    assert (client.status, client.body == body, bench.ledger.records[0].error) == (200, True, "")


def test_a_large_answer_that_breaks_is_cut_off() -> None:
    body = answer(HOLD_BYTES + 100_000)
    client, bench = plain(body[:-50], end=BREAKS[0][0])
    assert client.state == "cut"
    assert bench.ledger.settled[0].error_kind == "answer_truncated"


@pytest.mark.parametrize(("error", "kind", "code"), BREAKS, ids=str)
def test_a_plain_answer_that_breaks_is_an_error_of_ours(error: EngineError, kind: str, code: str) -> None:
    client, bench = plain(answer()[:10], end=error)
    assert (client.error["code"], bench.ledger.settled[0].error_kind) == (code, kind)


PROBLEM = ((b"content-type", b"Application/Problem+JSON; charset=utf-8"),)
"""An error by its media type alone (RFC 9457)."""


@pytest.mark.parametrize(
    ("members", "status"), [({"status": 503}, 503), ({"status": 429}, 429), ({"status": 200}, 502), ({}, 502)]
)
@pytest.mark.parametrize("size", [1, HOLD_BYTES + 1])
def test_a_problem_in_a_200_is_a_failed_attempt_with_the_status_it_names(
    members: dict[str, int], status: int, size: int
) -> None:
    body = json.dumps({"title": "no model", "about": "x" * size, **members}).encode()
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(200, body, PROBLEM)
    bench.calls[1].answer(200, answer())
    assert (client.status, client.body, bench.ledger.fallbacks) == (200, answer(), [("t0", "t1")])
    last = Bench(StepClock(), retry=NO_RETRY)
    _, client = last.begin(stream=False)
    last.calls[0].answer(200, body, PROBLEM)
    assert client.status == status
    assert f"the engine answered {status}: no model" in client.error["message"]


@pytest.mark.parametrize("members", [{"error": None}, {}])
def test_other_json_in_a_200_is_an_answer_whatever_it_has(members: dict[str, None]) -> None:
    """A type of its own that ends in `+json` is no error by its name, and what says no more than a title is its
    client's to judge."""
    body = json.dumps({"title": "no model", **members}).encode()
    bench = Bench(StepClock())
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(200, body, ((b"content-type", b"application/vnd.own+json"),))
    assert (client.status, client.body) == (200, body)


@pytest.mark.parametrize("headers", [JSON, ((b"content-type", b"application/vnd.own+json"),), ()])
@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.SPEECH])
def test_an_empty_200_is_a_failed_attempt(operation: Operation, headers: Any) -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(operation, stream=False)
    bench.calls[0].answer(200, b"", headers)
    bench.calls[1].answer(200, b"", headers)
    assert (client.status, client.error["code"]) == (502, "engine_answer_truncated")
    assert [sum(state.breaker._bad) for state in bench.table] == [1, 0]  # one request counts once


def test_an_empty_text_is_an_answer() -> None:
    """The words of a sound without any."""
    bench = Bench(StepClock())
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(200, b"", ((b"content-type", b"text/plain"),))
    assert (client.status, client.body) == (200, b"")


def test_an_empty_plain_answer_is_an_empty_answer() -> None:
    client, _ = plain(status=204)
    assert (client.status, client.body) == (204, b"")


def test_a_plain_answer_to_a_streamed_request_passes_as_it_is() -> None:
    bench = Bench(StepClock())
    _, client = bench.begin(stream=True)
    bench.calls[0].answer(200, answer())
    assert client.body == answer()


def behind_comments(*reads: bytes) -> tuple[FakeConnection, Bench]:
    """A plain 200 of the last engine, after the first one has sent comments and failed."""
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(PROCESSING)
    bench.calls[0].read(ERROR)
    bench.calls[1].head(200, ((b"content-type", b"Application/JSON; charset=utf-8"),))
    for read in reads:
        bench.calls[1].read(read)
    if bench.calls[1].open:
        bench.calls[1].done()
    return client, bench


@pytest.mark.parametrize("size", [10, HOLD_BYTES + 100_000])
def test_an_error_in_a_plain_200_behind_comments_is_told_in_its_own_words(size: int) -> None:
    client, bench = behind_comments(
        json.dumps({"error": {"message": "y" * size, "type": "invalid_request_error", "code": 400}}).encode()
    )
    told = json.loads(client.body.removeprefix(PROCESSING + b"data: "))["error"]
    assert ("y" * min(size, 500), "400") == (told["message"], told["code"])
    (record,) = bench.ledger.records
    assert (record.status, record.error, record.attempts, client.state) == (200, "engine_400", 2, "answered")
    assert bench.outstanding() == {}


@pytest.mark.parametrize("reads", [[answer()], [answer(HOLD_BYTES + 100_000), b" "], [b"{\n\n}\n\n"], []])
def test_a_document_behind_comments_is_no_answer(reads: list[bytes]) -> None:
    client, bench = behind_comments(*reads)
    told = json.loads(client.body.removeprefix(PROCESSING + b"data: "))["error"]
    (record,) = bench.ledger.records
    assert (record.status, record.attempts, client.state) == (200, 2, "answered")
    assert told["code"] == ("engine_bad_answer" if reads else "engine_answer_truncated")
    assert bench.outstanding() == {}


def test_a_document_behind_comments_is_paid_for() -> None:
    _, bench = behind_comments(answer())
    tries = bench.ledger.records[0].tries
    assert tries is not None
    assert (tries[1].input_tokens, tries[1].output_tokens, tries[1].usage_source) == (11, 7, "reported")


@pytest.mark.parametrize(
    ("tail", "usage"),
    [
        (
            b'..."usage":{"prompt_tokens":3,"completion_tokens":4}}',
            b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}',
        ),
        (b'"usage":{"a":1},"data":[],"usage":{"b":2}}', b'{"usage":{"b":2}}'),
        (b"no such thing", b"{}"),
    ],
)
def test_the_last_usage_of_a_tail_is_taken(tail: bytes, usage: bytes) -> None:
    assert usage_in(tail) == usage


def test_the_oracle_reads_what_the_tests_write() -> None:
    assert parsed(chunk() + DONE) == [("message", chunk()[6:-2].decode()), ("message", "[DONE]")]
