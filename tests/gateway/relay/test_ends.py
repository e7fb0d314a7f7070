"""How a stream ends: with what its engine forgot, or in an error."""

from __future__ import annotations

import json

import pytest

from engines.errors import EngineError
from engines.model import Operation
from engines.sse import split
from gateway.relay.stream import MAX_EVENT_BYTES
from tests.engines.wire.frames import frame
from tests.gateway.flights import JSON, SSE, Bench, StepClock
from tests.gateway.relayed import BREAKS, DONE, ERROR, FINISH, SUCCESS, USAGE, chunk, metered, relayed

pytestmark = pytest.mark.usefixtures("now")


def test_a_done_that_the_engine_forgot_is_added() -> None:
    client, _ = relayed([chunk()], [FINISH])
    assert client.body == chunk() + FINISH + DONE


def test_a_message_stop_that_the_engine_lost_is_added() -> None:
    delta, stop = split(SUCCESS[Operation.MESSAGES])
    for end in (None, BREAKS[0][0]):
        client, bench = relayed([delta], operation=Operation.MESSAGES, end=end)
        assert client.body == delta + stop
        assert bench.ledger.settled[0].error_kind == ""


@pytest.mark.parametrize("operation", [Operation.MESSAGES, Operation.RESPONSES])
def test_no_end_is_added_to_the_engines_own(operation: Operation) -> None:
    events = SUCCESS[operation]
    client, _ = relayed([events], operation=operation)
    assert client.body == events


@pytest.mark.parametrize("rest", [b"", b"\n", b"\r\n"])
def test_a_last_event_without_its_blank_line_counts(rest: bytes) -> None:
    client, _ = relayed([chunk()], [FINISH.rstrip() + rest])
    assert client.body == chunk() + FINISH + DONE


@pytest.mark.parametrize("ending", [[], [DONE]])
def test_a_stream_without_finish_reason_ends_in_an_error_and_no_done(ending: list[bytes]) -> None:
    client, bench = relayed([chunk()], ending)
    passed, error = split(client.body)
    assert passed == chunk()
    assert json.loads(error[6:])["error"]["code"] == "engine_answer_truncated"
    assert bench.ledger.settled[0].error_kind == "no_finish_reason"


def test_the_engines_error_passes_and_its_done_does_not() -> None:
    client, bench = relayed([chunk()], [ERROR, DONE])
    assert client.body == chunk() + ERROR
    assert bench.ledger.settled[0].error_kind == "engine_error"


def test_content_and_error_of_one_read_leave_as_a_stream() -> None:
    client, _ = relayed([chunk() + ERROR + DONE])
    assert (client.status, client.body) == (200, chunk() + ERROR)
    client, _ = relayed([chunk(), ERROR, DONE])
    assert (client.status, client.body) == (200, chunk() + ERROR)


@pytest.mark.parametrize(("error", "kind", "code"), BREAKS, ids=str)
def test_a_break_is_told_inside_the_stream(error: EngineError, kind: str, code: str) -> None:
    client, bench = relayed([chunk(), chunk("half")[:30]], end=error)
    passed, told = split(client.body)
    assert passed == chunk()
    assert json.loads(told[6:])["error"]["code"] == code
    assert json.loads(told[6:])["error"]["message"] == f"model 'm': {error}"
    assert bench.ledger.settled[0].error_kind == kind


@pytest.mark.parametrize(("error", "kind", "code"), BREAKS, ids=str)
def test_a_break_before_any_whole_event_is_an_http_error(error: EngineError, kind: str, code: str) -> None:
    client, bench = relayed([chunk()[:30]], end=error)
    assert client.status == {"answer_truncated": 502, "timeout": 504, "client_stalled": 499}[kind]
    assert (client.error["code"], bench.ledger.settled[0].error_kind) == (code, kind)


@pytest.mark.parametrize(
    ("error", "failures"), [(BREAKS[0][0], 1), (BREAKS[1][0], 1), (BREAKS[2][0], 0), (BREAKS[3][0], 0)]
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_break_is_the_replicas_fault_unless_the_client_made_it(
    error: EngineError, failures: int, stream: bool
) -> None:
    bench = Bench(StepClock(), 2)
    bench.begin(stream=stream)
    bench.calls[0].head(200, SSE if stream else JSON)
    bench.calls[0].read(chunk())
    bench.calls[0].failed(error)
    assert [sum(state.breaker._bad) for state in bench.table] == [failures, 0]


def test_a_break_after_the_finish_reason_loses_nothing() -> None:
    client, bench = relayed([chunk(), FINISH], end=BREAKS[0][0])
    assert client.body == chunk() + FINISH + DONE
    assert bench.ledger.settled[0].error_kind == ""


def test_a_break_after_the_engines_error_is_told_once() -> None:
    client, bench = relayed([chunk(), ERROR], end=BREAKS[0][0])
    assert client.body.count(b'"error"') == 1
    assert bench.ledger.settled[0].error_kind == "engine_error"


def test_a_large_event_in_small_pieces_is_read_with_what_comes_behind_it() -> None:
    large = frame({"id": "c1", "choices": [{"index": 0, "delta": {"content": "a" * 300_000}, "finish_reason": "stop"}]})
    parts = [large[at : at + 4096] for at in range(0, len(large), 4096)]
    client, bench = relayed([chunk()], *[[part] for part in parts[:-1]], [parts[-1] + USAGE + DONE])
    assert client.body == chunk() + large + DONE
    assert metered(bench) == (11, 7, "reported", "")


def test_a_large_event_of_nothing_but_content_counts_as_a_piece_of_it() -> None:
    large = chunk("a" * 300_000)
    client, bench = relayed([large[:280_000]], [large[280_000:] + FINISH + DONE])
    assert client.body == large + FINISH + DONE
    assert metered(bench)[1:] == (1, "estimated", "")


def test_an_endless_event_is_an_error_and_the_engine_is_stopped() -> None:
    part = b"x" * (MAX_EVENT_BYTES // 2)
    client, bench = relayed([chunk()], [b"data: " + part], [part], [part])
    assert split(client.body)[0] == chunk()
    assert b"over %d bytes" % MAX_EVENT_BYTES in split(client.body)[1]
    assert bench.calls[0].aborted
