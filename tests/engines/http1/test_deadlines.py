"""First byte, idle and total deadlines, and who is blamed for which; on a clock that is stepped."""

from __future__ import annotations

import pytest

from engines.errors import ClientStalled, EngineError, FirstByteTimeout, IdleTimeout, TotalTimeout
from engines.http1.call import Call
from engines.model import Deadlines
from tests.engines.http1.bench import Bench
from tests.engines.http1.recorder import Recorder

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
FIVE_AND_TWO = Deadlines(first_byte_s=5, idle_s=2)
TOTAL = Deadlines(first_byte_s=5, idle_s=2, total_s=7)


@pytest.mark.parametrize(
    "wire", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", HEAD[:20], HEAD], ids=["", "100", "half", "head"]
)
def test_the_first_byte_is_a_body_byte_heads_do_not_count(wire: bytes) -> None:
    bench = Bench()
    _, sink = bench.send(FIVE_AND_TWO)
    bench.loop.advance(4)
    bench.feed(wire)
    bench.loop.advance(0.999)
    assert not sink.ended.is_set()
    bench.loop.advance(0.001)
    assert type(sink.error) is FirstByteTimeout
    assert str(sink.error) == "the engine sent no answer within 5 s"
    assert bench.transport.aborted


def test_each_read_of_the_body_moves_the_idle_deadline() -> None:
    bench = Bench()
    _, sink = bench.send(FIVE_AND_TWO)
    bench.feed(HEAD)
    for _ in range(20):
        bench.feed(b"x")
        bench.loop.advance(1.999)
    assert not sink.ended.is_set()
    bench.loop.advance(0.001)
    assert type(sink.error) is IdleTimeout
    assert str(sink.error) == "the engine sent nothing for 2 s"
    assert bench.transport.aborted


def test_an_idle_deadline_longer_than_the_one_for_the_first_byte_holds() -> None:
    bench = Bench()
    _, sink = bench.send(Deadlines(first_byte_s=1, idle_s=9))
    bench.feed(HEAD, b"x")
    bench.loop.advance(8.999)
    assert not sink.ended.is_set()
    bench.loop.advance(0.001)
    assert type(sink.error) is IdleTimeout


@pytest.mark.parametrize(
    ("deadlines", "blamed", "sentence"),
    [
        (FIVE_AND_TWO, ClientStalled, "the client read nothing for 2 s"),
        (Deadlines(first_byte_s=5, idle_s=2, total_s=1), TotalTimeout, "no complete answer within 1 s"),
    ],
)
def test_a_client_that_stops_reading_is_blamed_not_the_engine(
    deadlines: Deadlines, blamed: type[EngineError], sentence: str
) -> None:
    bench = Bench()
    call, sink = bench.send(deadlines)
    bench.feed(HEAD, b"x")
    call.pause()
    bench.loop.advance(2)
    assert (type(sink.error), str(sink.error)) == (blamed, sentence)
    assert bench.transport.aborted


def test_reading_on_gives_the_engine_its_whole_idle_time_again() -> None:
    bench = Bench()
    call, sink = bench.send(FIVE_AND_TWO)
    bench.feed(HEAD, b"x")
    for _ in range(5):
        call.pause()
        bench.loop.advance(1.9)
        call.resume()
        bench.loop.advance(1.9)
    assert not sink.ended.is_set()
    bench.loop.advance(0.2)
    assert type(sink.error) is IdleTimeout


@pytest.mark.parametrize("wire", [b"", HEAD, HEAD + b"x"], ids=["sent", "head", "body"])
def test_the_total_deadline_ends_the_call_in_any_phase_however_busy(wire: bytes) -> None:
    bench = Bench()
    _, sink = bench.send(Deadlines(first_byte_s=50, idle_s=50, total_s=7))
    bench.feed(wire)
    for _ in range(6):
        bench.loop.advance(1)
        if wire.endswith(b"x"):
            bench.feed(b"x")
    bench.loop.advance(0.999)
    assert not sink.ended.is_set()
    bench.loop.advance(0.001)
    assert (type(sink.error), str(sink.error)) == (TotalTimeout, "no complete answer within 7 s")


def test_the_shorter_deadline_comes_first_with_a_total_too() -> None:
    bench = Bench()
    _, sink = bench.send(TOTAL)
    bench.feed(HEAD, b"x")
    bench.loop.advance(2)
    assert type(sink.error) is IdleTimeout


def test_time_spent_before_the_send_counts_toward_the_total() -> None:
    bench = Bench()
    sink = Recorder()
    call = Call(b"GET / HTTP/1.1\r\n\r\n", b"", TOTAL, sink, bench.loop.now)
    bench.loop.advance(6)
    bench.connection.send(call)
    bench.loop.advance(0.999)
    assert not sink.ended.is_set()
    bench.loop.advance(0.001)
    assert type(sink.error) is TotalTimeout


def test_an_answer_leaves_no_deadline_behind() -> None:
    bench = Bench()
    _, first = bench.send(FIVE_AND_TWO)
    bench.feed(ANSWER)
    bench.loop.advance(20)
    _, second = bench.send(FIVE_AND_TWO)
    bench.loop.advance(4.999)
    assert (first.calls[-1], second.calls, bench.reusable) == ("done", [], True)
    bench.feed(HEAD, b"x")
    bench.loop.advance(2)
    assert type(second.error) is IdleTimeout


def test_a_connection_idle_too_long_closes_itself() -> None:
    bench = Bench()
    bench.used_once()
    bench.loop.advance(29.999)
    assert bench.reusable
    bench.loop.advance(0.001)
    assert (bench.transport.aborted, bench.pool.lost_calls) == (True, 1)


def test_a_busy_connection_makes_few_timers() -> None:
    bench = Bench()
    for _ in range(1000):
        bench.send(FIVE_AND_TWO)
        bench.feed(ANSWER)
    assert bench.loop.made == 1  # the one for the first byte
    bench.send(FIVE_AND_TWO)
    bench.feed(HEAD)
    for _ in range(99):
        bench.feed(b"x")
    assert bench.loop.made == 2  # and one for the shorter idle deadline


def test_a_closed_connection_holds_no_timer() -> None:
    bench = Bench()
    call, _ = bench.send(FIVE_AND_TWO)
    call.abort()
    bench.end()
    assert bench.loop.pending == []
