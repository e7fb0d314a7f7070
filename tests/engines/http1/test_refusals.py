"""Answers we do not accept: framing that two readers could read differently, and heads without end."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import pytest

from engines.errors import AnswerTruncated, BadAnswer
from engines.http1.answer import LIMITS
from tests.engines.http1.bench import Bench
from tests.engines.http1.recorder import Heard, Recorder

MAX_HEAD_BYTES = LIMITS.head_bytes
LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

REFUSED = {
    "two content-lengths": LENGTH + b"content-length: 3\r\n\r\nok",
    "the same content-length twice": LENGTH + b"Content-Length: 2\r\n\r\nok",
    "two content-lengths in one header": b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
    "a negative content-length": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
    "a signed content-length": b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
    "a hexadecimal content-length": b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok",
    "an empty content-length": b"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nok",
    "a content-length over 64 bits": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nok",
    "content-length, then chunked": LENGTH + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, then content-length": CHUNKED[:-2] + b"content-length: 5\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED[:-2] + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip as a transfer coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nxx",
    "gzip, then chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, then identity": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked with a tab behind it": CHUNKED[:-4] + b"\t\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked with blanks of both kinds behind it": CHUNKED[:-4] + b" \t \r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a transfer coding unheard of": b"HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nbinary",
    "101 without upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\ncontent-length: 0\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
    "a NUL in a value": b"HTTP/1.1 200 OK\r\nx-a: a\x00b\r\ncontent-length: 0\r\n\r\n",
    "bare newlines": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "a bare CR in a value": b"HTTP/1.1 200 OK\r\nx-a: a\rb\r\ncontent-length: 0\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "HTTP/0.9": b"<html>no head at all</html>",
    "TLS": b"\x15\x03\x03\x00\x02\x02\x28",
    "HTTP/2 settings": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "a content-length beyond reason": b"HTTP/1.1 200 OK\r\ncontent-length: 1099511627777\r\n\r\nok",
    "a status over 599": b"HTTP/1.1 600 What\r\ncontent-length: 0\r\n\r\n",
    "a status of 999": b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
    "a status under 100": b"HTTP/1.1 099 What\r\ncontent-length: 0\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n",
}

BROKEN_OFF = {
    "a chunk size that is no number": CHUNKED + b"2\r\nok\r\nzz\r\n",
    "a negative chunk size": CHUNKED + b"2\r\nok\r\n-1\r\n",
    "a chunk longer than it says": CHUNKED + b"2\r\nok!\r\n",
    "a chunk size over 64 bits": CHUNKED + b"2\r\nok\r\nfffffffffffffffff\r\n",
    "chunk lines ended by bare newlines": CHUNKED + b"2\r\nok\r\n2\nno\n0\n\n",
}


def fed(*reads: bytes) -> tuple[Bench, Recorder]:
    bench = Bench()
    _, sink = bench.send()
    bench.feed(*reads)
    return bench, sink


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused_whole_and_bytewise_and_nothing_of_it_is_passed_on(wire: bytes) -> None:
    for reads in ([wire], [wire[at : at + 1] for at in range(len(wire))]):
        bench, sink = fed(*reads)
        assert sink.heard == Heard(0, (), b"", "BadAnswer")
        assert bench.transport.aborted
        bench.end()
        assert sink.calls == ["failed"]


@pytest.mark.parametrize("name", ["101", "101 without upgrade"])
def test_a_switch_of_protocols_is_refused_by_its_name(name: str) -> None:
    _, sink = fed(REFUSED[name])
    assert str(sink.error) == "the engine wants to switch protocols"


@pytest.mark.parametrize("wire", BROKEN_OFF.values(), ids=BROKEN_OFF.keys())
def test_framing_that_breaks_in_the_body_truncates_the_answer(wire: bytes) -> None:
    for reads in ([wire], [wire[at : at + 1] for at in range(len(wire))]):
        bench, sink = fed(*reads)
        assert sink.heard == Heard(200, ((b"transfer-encoding", b"chunked"),), b"ok", "AnswerTruncated")
        assert bench.transport.aborted


@pytest.mark.parametrize("fields", [b"", b"connection: close\r\n"], ids=["keep-alive", "close"])
@pytest.mark.parametrize(
    "junk",
    [
        b"junk",
        b"\x00",
        b"H",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        LENGTH + b"content-length: 2\r\n\r\n",
    ],
)
def test_a_whole_answer_stands_whatever_comes_with_its_end_but_its_connection_does_not(
    fields: bytes, junk: bytes
) -> None:
    bench, sink = fed(LENGTH + fields + b"\r\nok" + junk)
    assert (sink.status, sink.body, sink.calls) == (200, b"ok", ["head", "data", "done"])
    assert (bench.pool.released, bench.transport.aborted) == (0, True)


def test_a_byte_while_no_request_is_in_flight_closes_the_connection() -> None:
    bench = Bench()
    bench.used_once()
    bench.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    assert bench.transport.aborted
    assert bench.pool.lost_calls == 1


def test_a_connection_that_never_served_closes_on_a_byte_too() -> None:
    bench = Bench()
    bench.feed(b"220 smtp.example ESMTP\r\n")
    assert bench.transport.aborted


def filler(size: int) -> bytes:
    """Header lines of `size` bytes in all."""
    assert size >= 1007
    return b"x-a: " + b"v" * (size % 1000 + 993) + b"\r\n" + (b"x-b: " + b"v" * 993 + b"\r\n") * (size // 1000 - 1)


def head_of(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + filler(size - 40) + b"content-length: 2\r\n\r\n"


def pieces(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


@pytest.mark.parametrize("read", [10**9, 1000, 7])
def test_a_head_under_the_limit_passes_however_it_is_read(read: int) -> None:
    wire = head_of(MAX_HEAD_BYTES - 10)
    _, sink = fed(*pieces(wire + b"ok", read))
    assert (sink.status, sink.body, sink.calls[-1]) == (200, b"ok", "done")


@pytest.mark.parametrize("read", [10**9, 1000, 7])
def test_a_head_over_the_limit_is_refused_however_it_is_read(read: int) -> None:
    bench, sink = fed(*pieces(head_of(MAX_HEAD_BYTES + 100) + b"ok", read))
    assert sink.heard == Heard(0, (), b"", "BadAnswer")
    assert str(sink.error) == "the engine's response headers are over 65536 bytes"
    assert bench.transport.aborted


def test_a_big_body_in_the_read_of_the_head_does_not_count_as_head() -> None:
    body = b"x" * (2 * MAX_HEAD_BYTES)
    _, sink = fed(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    assert (sink.body, sink.calls[-1]) == (body, "done")


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        b"x-a: 1\r\n",
        b"y",
        b"\r\n",
    ],
    ids=["100", "103", "headers", "one header name", "empty lines"],
)
def test_a_head_without_end_is_refused_at_the_limit(endless: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\n" if endless in (b"x-a: 1\r\n", b"y") else b""
    bench, sink = fed(start)
    reads = itertools.count(1)
    while not bench.transport.aborted:
        bench.feed(endless)
        assert next(reads) <= MAX_HEAD_BYTES
    assert sink.heard == Heard(0, (), b"", "BadAnswer")


def test_a_content_length_of_many_zeros_is_read() -> None:
    _, sink = fed(b"HTTP/1.1 200 OK\r\ncontent-length: " + b"0" * 5000 + b"2\r\n\r\nok")
    assert sink.heard.end == "done"
    assert sink.body == b"ok"


def test_trailers_are_not_kept() -> None:
    bench, sink = fed(CHUNKED + b"2\r\nok\r\n0\r\n")
    for _ in range(1000):
        bench.feed(b"x-trailer: 1\r\n")
    bench.feed(b"\r\n")
    assert sink.heard == Heard(200, ((b"transfer-encoding", b"chunked"),), b"ok", "done")
    assert bench.reusable


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (b"2\r\nok\r\n0\r\n", b"x-trailer: 1\r\n" * 50),
        (b"2\r\nok\r\n0\r\nx-trailer: ", b"y" * 1000),
        (b"2\r\nok\r\n0\r\n", b"y" * 1000),
        (b"2\r\nok\r\n2;", b"y" * 1000),
    ],
    ids=["trailers", "a trailer's value", "a trailer's name", "a chunk extension"],
)
def test_trailers_without_end_are_cut_at_the_limit(start: bytes, endless: bytes) -> None:
    bench, sink = fed(CHUNKED + start)
    fed_bytes = 0
    while not bench.transport.aborted:
        bench.feed(endless)
        fed_bytes += len(endless)
        assert fed_bytes <= LIMITS.silent_bytes + LIMITS.head_bytes + 1000
    assert (sink.heard.end, sink.body) == ("AnswerTruncated", b"ok")
    assert str(sink.error) == "the engine sent trailers without end"


@pytest.mark.parametrize(
    "framing", [b"transfer-encoding: chunked\r\n\r\n", b"content-length: 99999999\r\n\r\n", b"\r\n"]
)
def test_an_error_body_without_end_ends_at_the_limit_and_a_long_answer_does_not(framing: bytes) -> None:
    piece = b"e" * 4096
    wire = b"1000\r\n" + piece + b"\r\n" if b"chunked" in framing else piece
    bench, sink = fed(b"HTTP/1.1 500 Oops\r\n" + framing)
    for _ in range(LIMITS.error_bytes // len(piece) + 1):
        bench.feed(wire)
    assert (sink.status, sink.heard.end) == (500, "done")
    assert len(sink.body) <= LIMITS.error_bytes + 4096
    assert bench.transport.aborted
    bench, sink = fed(b"HTTP/1.1 200 OK\r\n" + framing)
    for _ in range(LIMITS.error_bytes // len(piece) + 1):
        bench.feed(wire)
    assert not sink.ended.is_set()


def test_a_chunked_answer_in_http_1_0_costs_the_connection() -> None:
    """RFC 9112 section 6.1: its framing cannot be trusted."""
    chunks = b"2\r\nok\r\n0\r\n\r\n"
    bench, sink = fed(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
    assert (sink.body, sink.heard.end) == (b"ok", "done")
    assert (bench.pool.released, bench.transport.aborted) == (0, True)


def test_a_redirect_is_an_answer_and_nobody_follows_it() -> None:
    bench, sink = fed(b"HTTP/1.1 308 Permanent Redirect\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n")
    assert (sink.status, sink.heard.end, bench.transport.writes) == (308, "done", 1)


def a_bug_of_ours() -> None:
    raise KeyError("a bug of ours")


@pytest.mark.parametrize("moment", ["on_head", "on_data", "on_flush"])
def test_a_sink_that_raises_fails_the_call_and_the_mistake_is_not_hidden(moment: str) -> None:
    bench = Bench()
    _, sink = bench.send()
    setattr(sink, moment, a_bug_of_ours)
    bench.feed(LENGTH + b"\r\nok" if moment == "on_end" else LENGTH + b"\r\no")
    assert [KeyError] == [type(fault) for fault in bench.loop.reported]
    assert sink.calls[-1] == "failed"
    assert type(sink.error) is (BadAnswer if moment == "on_head" else AnswerTruncated)
    assert bench.transport.aborted


def test_a_sink_that_cannot_live_with_the_end_hears_that_the_answer_is_bad() -> None:
    for wire, closes in ((LENGTH + b"\r\nok", False), (b"HTTP/1.1 200 OK\r\n\r\nok", True)):
        bench = Bench()
        _, sink = bench.send()

        def once(sink: Recorder = sink) -> None:
            sink.on_end = None
            a_bug_of_ours()

        sink.on_end = once
        bench.feed(wire)
        if closes:
            bench.end()
        assert sink.calls[-2:] == ["done", "failed"]
        assert [KeyError] == [type(fault) for fault in bench.loop.reported]
        assert bench.loop.pending == [] or bench.reusable


@pytest.mark.parametrize("moment", ["lost", "late", "refused"])
def test_a_sink_that_raises_at_a_failure_leaves_nothing_behind(moment: str) -> None:
    bench = Bench()
    _, sink = bench.send()
    sink.on_end = a_bug_of_ours
    ends: dict[str, Callable[[], object]] = {
        "lost": bench.end,
        "late": lambda: bench.loop.advance(10_000),
        "refused": lambda: bench.feed(b"junk"),
    }
    with pytest.raises(KeyError):
        ends[moment]()
    with contextlib.suppress(KeyError):
        bench.end()
    assert (sink.calls, bench.loop.pending, bench.reusable) == (["failed"], [], False)
