"""The states of one connection: when it serves again, when it is replayed, what an abort leaves behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engines.errors import AnswerTruncated, BadAnswer, ConnectionLost
from engines.http1.call import Call
from engines.http1.connection import REPLAY_WINDOW_S, SMALL_BODY_BYTES
from tests.engines.http1.bench import BODY, HEAD, PATIENT, Bench
from tests.engines.http1.recorder import Recorder

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STARTED = ANSWER[:-1]
LIMIT = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"


# Requests


def test_a_small_request_is_one_write_and_a_large_one_is_not_copied_together() -> None:
    bench = Bench()
    bench.send()
    assert (bench.transport.writes, bench.transport.written) == (1, HEAD + BODY)
    large = Bench()
    body = b"x" * (SMALL_BODY_BYTES + 1)
    large.send(body=body)
    assert (large.transport.writes, large.transport.written) == (2, HEAD + body)


def test_a_connection_serves_one_request_after_another() -> None:
    bench = Bench()
    for _ in range(3):
        _, sink = bench.send()
        bench.feed(ANSWER)
        assert (sink.status, sink.body, sink.calls[-1]) == (200, b"ok", "done")
    assert bench.transport.written == 3 * (HEAD + BODY)
    assert bench.pool.released == 3
    assert bench.reusable


def test_an_answer_of_one_kind_leaves_nothing_behind_for_the_next() -> None:
    bench = Bench()
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: 1\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n"
    for wire in (chunked, ANSWER, b"HTTP/1.1 204 No Content\r\n\r\n", chunked):
        alone = Bench()
        _, expected = alone.send()
        alone.feed(wire)
        _, sink = bench.send()
        bench.feed(wire)
        assert sink.heard == expected.heard
    bench.send()
    bench.feed(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    assert bench.transport.aborted


def test_an_answer_that_overtakes_its_request_does_not_give_the_connection_back() -> None:
    bench = Bench()
    _, sink = bench.send()
    bench.transport.stuck_bytes = 1
    bench.feed(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
    assert (sink.status, sink.calls[-1]) == (413, "done")
    assert (bench.pool.released, bench.transport.aborted) == (0, True)


def test_reads_are_flushed_once_each_and_the_last_one_not_at_all() -> None:
    bench = Bench()
    _, sink = bench.send()
    bench.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n", b"ab", b"cd", b"ef")
    assert sink.calls == ["head", "data", "flush", "data", "flush", "data", "done"]


def test_the_connection_is_free_again_before_the_sink_hears_done() -> None:
    bench = Bench()
    _, sink = bench.send()
    following = Recorder()
    sink.on_end = lambda: bench.connection.send(Call(HEAD, BODY, PATIENT, following, bench.loop.now))
    bench.feed(ANSWER)
    bench.loop.end_turn()
    bench.feed(ANSWER)
    assert following.calls == ["head", "data", "done"]
    assert bench.pool.released == 2


def test_an_answer_that_comes_before_the_request_left_is_not_its_answer() -> None:
    bench = Bench()
    bench.used_once()
    call, sink = bench.send(turn_ends=False)
    bench.feed(ANSWER)
    assert bench.transport.aborted
    assert ([call], []) == (bench.pool.fresh, sink.calls)
    bench.loop.end_turn()
    assert 1 == bench.transport.writes  # of the request before


def test_an_engine_that_speaks_first_on_every_connection_fails_the_call() -> None:
    bench = Bench()
    call, sink = bench.send(turn_ends=False)
    call.replayed = True
    bench.feed(ANSWER)
    assert [] == bench.pool.fresh
    assert (["failed"], BadAnswer) == (sink.calls, type(sink.error))


def test_a_call_says_whether_a_byte_of_it_was_written() -> None:
    never = Call(HEAD, BODY, PATIENT, Recorder(), 0.0)
    assert not never.written  # it waits for a connection
    sent, _ = Bench().send()
    sent.abort()
    assert sent.written
    waits, _ = Bench().send(turn_ends=False)
    waits.abort()
    assert not waits.written
    lost = Bench()
    call, _ = lost.send()
    lost.end()
    assert call.written


def test_a_call_that_was_not_acted_on_counts_as_not_written_until_it_is_again() -> None:
    closing = Bench()
    closing.used_once()
    call, _ = closing.send()
    closing.end()
    assert ([call], False) == (closing.pool.fresh, call.written)
    Bench().connection.send(call)
    assert call.written
    speaks_first = Bench()
    unasked, sink = speaks_first.send(turn_ends=False)
    unasked.replayed = True
    speaks_first.feed(ANSWER)
    assert (sink.calls, unasked.written) == (["failed"], False)


def test_the_rest_of_an_answer_can_be_handed_to_another_sink() -> None:
    bench = Bench()
    call, sink = bench.send()
    bench.feed(STARTED)
    other = Recorder()
    call.sink = other
    bench.feed(ANSWER[-1:])
    assert (sink.body, sink.calls) == (b"o", ["head", "data", "flush"])
    assert (other.body, other.calls) == (b"k", ["data", "done"])


# Closes


def test_a_close_before_the_head_loses_the_call_and_later_truncates_it() -> None:
    for wire, failure in ((b"", ConnectionLost), (LIMIT[:20], ConnectionLost), (LIMIT, ConnectionLost)):
        bench = Bench()
        _, sink = bench.send()
        bench.feed(wire)
        bench.end()
        assert type(sink.error) is failure
        assert bench.pool.lost_calls == 1
    bench = Bench()
    _, sink = bench.send()
    bench.feed(LIMIT + b"x")
    bench.end()
    assert type(sink.error) is AnswerTruncated


def test_an_idle_connection_that_closes_tells_its_pool() -> None:
    bench = Bench()
    bench.used_once()
    bench.end()
    assert bench.pool.lost_calls == 1
    assert bench.loop.pending == []


# Replay (RFC 9110 section 9.2.2)


@pytest.mark.parametrize("error", [None, ConnectionResetError(), BrokenPipeError()], ids=["close", "reset", "pipe"])
def test_a_request_is_sent_anew_when_a_reused_connection_closes_at_the_write(error: Exception | None) -> None:
    bench = Bench()
    bench.used_once()
    call, sink = bench.send()
    bench.end(error)
    assert bench.pool.fresh == [call]
    assert (sink.calls, call.line, call.finished) == ([], None, False)


def test_a_request_is_not_sent_anew_when_the_connection_closes_later() -> None:
    bench = Bench()
    bench.used_once()
    _, sink = bench.send()
    bench.loop.advance(REPLAY_WINDOW_S)
    bench.end()
    assert bench.pool.fresh == []
    assert type(sink.error) is ConnectionLost


def test_a_request_is_not_sent_anew_from_a_connection_never_used_before() -> None:
    bench = Bench()
    _, sink = bench.send()
    bench.end()
    assert bench.pool.fresh == []
    assert type(sink.error) is ConnectionLost


def test_a_request_is_not_sent_anew_a_second_time() -> None:
    first, second = Bench(), Bench()
    first.used_once()
    second.used_once()
    call, sink = first.send()
    first.end()
    second.connection.send(call)
    second.end()
    assert (first.pool.fresh, second.pool.fresh) == ([call], [])
    assert sink.calls == ["failed"]
    assert type(sink.error) is ConnectionLost


@pytest.mark.parametrize("wire", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", LIMIT], ids=["a byte", "100", "head"])
def test_a_request_is_not_sent_anew_once_a_byte_was_answered(wire: bytes) -> None:
    bench = Bench()
    bench.used_once()
    _, sink = bench.send()
    bench.feed(wire)
    bench.end()
    assert bench.pool.fresh == []
    assert type(sink.error) is ConnectionLost


def test_an_aborted_request_is_not_sent_anew() -> None:
    bench = Bench()
    bench.used_once()
    call, sink = bench.send()
    call.abort()
    bench.end()
    assert (bench.pool.fresh, sink.calls) == ([], [])


def test_what_has_been_idle_as_long_as_a_connection_that_was_lost_is_as_dead() -> None:
    for late in (0.0, REPLAY_WINDOW_S):
        bench = Bench()
        bench.used_once()
        since = bench.loop.now
        bench.loop.advance(7)
        bench.send()
        bench.loop.advance(late)
        bench.end()
        assert bench.pool.stale_since == [since]
    first = Bench()
    first.send()
    first.end()
    assert first.pool.stale_since == []


# Aborts


@pytest.mark.parametrize(
    "wire",
    [b"", b"HTTP/1.1 100 Continue\r\n\r\n", LIMIT[:20], LIMIT, LIMIT + b"x", b"HTTP/1.1 200 OK\r\n\r\nx"],
    ids=["sent", "100", "mid-head", "head", "mid-body", "until close"],
)
def test_an_abort_closes_the_connection_and_silences_the_sink(wire: bytes) -> None:
    bench = Bench()
    call, sink = bench.send()
    bench.feed(wire)
    before = list(sink.calls)
    call.abort()
    call.abort()
    assert (bench.transport.aborted, bench.pool.lost_calls) == (True, 1)
    bench.connection.data_received(b"x")  # a transport may still hand over what it had read
    bench.end()
    bench.loop.advance(10_000)
    assert sink.calls == before
    assert bench.loop.pending == []


@pytest.mark.parametrize("moment", ["on_head", "on_data", "on_flush"])
@pytest.mark.parametrize("wire", [ANSWER, STARTED, ANSWER + ANSWER], ids=["whole", "part", "two"])
def test_an_abort_from_within_a_call_of_the_sink_is_the_last_word(moment: str, wire: bytes) -> None:
    bench = Bench()
    call, sink = bench.send()
    setattr(sink, moment, call.abort)
    bench.feed(wire)
    bench.end()
    if moment == "on_flush" and wire is not STARTED:
        assert sink.calls[-1] == "done"  # an answer whole in one read is never flushed
    else:
        assert sink.calls[-1] == moment.removeprefix("on_")
        assert bench.transport.aborted


def test_an_abort_after_the_end_spares_the_connection() -> None:
    bench = Bench()
    call, _ = bench.send()
    bench.feed(ANSWER)
    _, following = bench.send()
    call.abort()
    bench.feed(ANSWER)
    assert following.calls == ["head", "data", "done"]


def test_pause_and_resume_after_the_end_do_not_touch_the_next_request() -> None:
    bench = Bench()
    call, _ = bench.send()
    bench.feed(ANSWER)
    bench.send()
    call.pause()
    assert bench.transport.reading
    call.resume()
    assert bench.transport.reading


# Back-pressure


def test_pause_stops_reading_and_resume_reads_on() -> None:
    bench = Bench()
    call, sink = bench.send()
    bench.feed(STARTED)
    call.pause()
    call.pause()
    assert not bench.transport.reading
    call.resume()
    assert bench.transport.reading
    bench.feed(ANSWER[-1:])
    assert sink.calls[-1] == "done"


def test_a_connection_paused_at_the_end_of_its_answer_is_given_back_reading() -> None:
    bench = Bench()
    call, sink = bench.send()
    sink.on_data = call.pause
    bench.feed(ANSWER)
    assert sink.calls[-1] == "done"
    assert (bench.transport.reading, bench.pool.released) == (True, 1)


@pytest.mark.parametrize("touch", [Call.pause, Call.resume])
def test_pause_and_resume_on_a_closed_connection_do_nothing(touch: Callable[[Call], None]) -> None:
    bench = Bench()
    call, _ = bench.send()
    bench.feed(STARTED)
    bench.end()
    touch(call)
    assert bench.transport.reading
    assert bench.loop.pending == []
