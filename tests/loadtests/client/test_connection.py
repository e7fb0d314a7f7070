"""Golden answers: bytes of a script at times of a script, and the record that must come of them, to the nanosecond."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from loadtests.client import connection as module
from loadtests.client.connection import Connection, Exchange
from loadtests.client.record import Record
from tests.loadtests import wire


class Clock:
    now_ns = 1_000

    def __call__(self) -> int:
        return self.now_ns


class Transport(asyncio.Transport):
    """Takes what is written; closes when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Owner:
    """Remembers what a connection said."""

    def __init__(self) -> None:
        self.free: list[Connection] = []
        self.ended: list[tuple[str, str]] = []

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def released(self, connection: Connection) -> None:
        self.free.append(connection)

    def finish(self, exchange: Exchange, error: str, text: str) -> None:
        exchange.record.error = error
        self.said = exchange.said
        self.ended.append((error, text))


class Script:
    """One exchange over one connection, fed by hand."""

    def __init__(self, clock: Clock, streamed: bool = True) -> None:
        self.clock = clock
        self.owner = Owner()
        self.transport = Transport()
        self.connection = Connection(self.owner)
        self.connection.connection_made(self.transport)
        self.streamed = streamed
        self.begin()

    def begin(self) -> None:
        self.record = Record(index=0, ti=0, stream=self.streamed)
        exchange = Exchange(self.record, lambda record, text: None, stream=self.streamed, keep_text=True)
        self.connection.begin(exchange, b"POST")

    def feed(self, data: bytes, after_ns: int = 0) -> None:
        self.clock.now_ns += after_ns
        self.connection.data_received(data)

    def lose(self, error: Exception | None = None) -> None:
        self.connection.connection_lost(error)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic_ns", clock)
    return clock


def test_counts_and_times_of_a_stream_are_those_of_the_script(clock: Clock) -> None:
    script = Script(clock)
    labels = {"x-penstock-engine": "llama", "x-penstock-replica": "r1", "x-penstock-arm": "b"}
    script.feed(wire.head(headers=labels), 10)
    script.feed(wire.chunked(wire.ROLE), 20)
    script.feed(wire.chunked(wire.delta(content="a")), 300)  # 1330: the first token
    script.feed(wire.chunked(wire.delta(content="b")), 50)
    script.feed(wire.chunked(wire.delta(content="c") + wire.delta(content="d")), 70)  # two in one read: no gap
    script.feed(wire.chunked(wire.finish("stop")), 11)
    script.feed(wire.chunked(wire.usage(9, prompt=30, cached=16) + wire.DONE), 12)
    script.feed(wire.chunked(b""), 13)
    record = script.record
    assert [("", "abcd")] == script.owner.ended
    assert (1330, 1450, 1486) == (record.c1, record.ck, record.te)
    assert (4, [50, 70, 0], 70) == (record.chunks, record.gaps, record.max_gap_ns)
    assert (9, 30, 16) == (record.tokens, record.prompt_tokens, record.cached_tokens)
    assert (200, "stop") == (record.status, record.finish_reason)
    assert ("llama", "r1", "b") == (record.engine, record.replica, record.arm)
    assert [script.connection] == script.owner.free


def test_reasoning_is_the_first_token_and_content_comes_later(clock: Clock) -> None:
    script = Script(clock)
    script.feed(wire.head() + wire.chunked(wire.ROLE), 1)
    script.feed(wire.chunked(wire.delta(reasoning_content="hm")), 100)
    script.feed(wire.chunked(wire.delta(content="so")), 400)
    script.feed(wire.chunked(wire.finish() + wire.DONE) + wire.chunked(b""), 5)
    assert (1101, 1101, 1501) == (script.record.c1, script.record.first_reasoning, script.record.first_content)
    assert script.record.tokens is None


def whole_answer() -> bytes:
    events = wire.stream(["ab", "c", 'd"\\', "é"], tokens=17)
    return wire.head(headers={"x-penstock-attempts": "2"}) + b"".join(map(wire.chunked, events)) + wire.chunked(b"")


def test_an_answer_cut_at_any_byte_is_the_same_answer(clock: Clock) -> None:
    answer = whole_answer()
    found = set()
    for cut in range(1, len(answer)):
        script = Script(clock)
        script.feed(answer[:cut])
        script.feed(answer[cut:], 1)
        record = script.record
        found.add((record.error, record.chunks, record.tokens, record.finish_reason, record.attempts, record.status))
        assert [("", 'abcd"\\é')] == script.owner.ended
    assert {("", 4, 17, "length", 2, 200)} == found


def test_an_answer_that_comes_byte_by_byte_is_the_same_answer(clock: Clock) -> None:
    script = Script(clock)
    for byte in whole_answer():
        script.feed(bytes([byte]), 1)
    assert [("", 'abcd"\\é')] == script.owner.ended
    assert 4 == script.record.chunks


CONTENT = wire.chunked(wire.ROLE) + wire.chunked(wire.delta(content="a"))
BROKEN = [
    ("truncated", wire.head() + CONTENT, True),
    ("truncated", wire.head("200 OK", "application/json", 50) + b"{", True),
    ("reset", b"", True),
    ("reset", b"HTTP/1.1 200 OK\r\ncontent-type: text/ev", True),
    ("bad_event", wire.head() + CONTENT + wire.chunked(b"data: {nonsense\n\n") + wire.chunked(b""), False),
    ("bad_event", wire.head() + CONTENT + wire.chunked(b'data: {"choices": 7}\n\n') + wire.chunked(b""), False),
    ("in_stream", wire.head() + CONTENT + wire.chunked(wire.event({"error": {"message": "no"}})) + b"0\r\n\r\n", False),
    ("in_stream", wire.head() + CONTENT + wire.chunked(b"event: error\ndata: {}\n\n") + b"0\r\n\r\n", False),
    ("no_finish", wire.head() + CONTENT + wire.chunked(b""), False),
    ("not_sse", wire.plain(wire.completion()), False),
    ("bad_response", b"SSH-2.0-OpenSSH\r\n", False),
    ("http_500", wire.plain({"error": "boom"}, "500 Internal Server Error"), False),
    ("http_429", wire.plain({"error": "wait"}, "429 Too Many Requests", {"retry-after": "7"}), False),
]


@pytest.mark.parametrize(("kind", "answer", "lost"), BROKEN)
def test_every_way_to_fail_has_its_name(clock: Clock, kind: str, answer: bytes, lost: bool) -> None:
    script = Script(clock)
    if answer:
        script.feed(answer, 1)
    if lost:
        script.lose()
    assert [kind] == [error for error, _ in script.owner.ended]


def test_an_error_in_the_stream_is_what_happened_even_if_the_connection_breaks_after_it(clock: Clock) -> None:
    script = Script(clock)
    script.feed(wire.head() + CONTENT + wire.chunked(wire.event({"error": {"message": "no"}})))
    script.lose()
    assert [("in_stream", "a")] == script.owner.ended


TOLD = [
    (wire.plain({"error": "boom"}, "500 Internal Server Error"), b'{"error": "boom"}'),
    (wire.head("200 OK", "text/html", 4) + b"<no>", b"<no>"),
    (wire.head() + CONTENT + wire.chunked(wire.event({"error": "full"})) + b"0\r\n\r\n", b'{"error":"full"}'),
    (wire.head() + CONTENT + wire.chunked(b"data: {nonsense\n\n") + wire.chunked(b""), b"{nonsense"),
    (wire.head() + CONTENT + wire.chunked(b""), b""),
    (wire.head() + CONTENT + wire.chunked(wire.finish() + wire.DONE) + wire.chunked(b""), b""),
]


@pytest.mark.parametrize(("answer", "said"), TOLD)
def test_a_failure_hands_over_what_the_target_said(clock: Clock, answer: bytes, said: bytes) -> None:
    script = Script(clock)
    script.feed(answer, 1)
    assert said == script.owner.said


def test_a_refusal_keeps_the_wait_it_asked_for(clock: Clock) -> None:
    script = Script(clock)
    script.feed(wire.plain({"error": "wait"}, "429 Too Many Requests", {"retry-after": "2.5"}))
    assert (429, 2.5) == (script.record.status, script.record.retry_after_s)


def test_a_plain_answer_has_tokens_and_text_but_no_first_token(clock: Clock) -> None:
    script = Script(clock, streamed=False)
    script.feed(wire.plain(wire.completion("hello", tokens=3)), 40)
    assert [("", "hello")] == script.owner.ended
    assert (0, 1040, 3, 5) == (script.record.c1, script.record.te, script.record.tokens, script.record.prompt_tokens)


def test_a_body_without_a_length_ends_with_the_connection(clock: Clock) -> None:
    script = Script(clock)
    script.feed(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + b"".join(wire.stream(["a"], 1)))
    script.clock.now_ns = 5_000
    script.lose()
    assert [("", "a")] == script.owner.ended
    assert (5_000, []) == (script.record.te, script.owner.free)


def test_a_connection_is_used_again_only_when_the_answer_ended_as_http_says(clock: Clock) -> None:
    script = Script(clock)
    script.feed(whole_answer())
    script.begin()
    script.feed(whole_answer())
    assert [("", 'abcd"\\é')] * 2 == script.owner.ended
    closing = Script(clock, streamed=False)
    closing.feed(wire.plain(wire.completion(), headers={"connection": "close"}))
    behind = Script(clock)
    behind.feed(whole_answer() + b"HTTP/1.1 200 OK\r\n")
    assert ([], True) == (closing.owner.free, closing.transport.closed)
    assert ([], True) == (behind.owner.free, behind.transport.closed)


def test_bytes_that_nobody_asked_for_close_the_connection(clock: Clock) -> None:
    script = Script(clock)
    script.feed(whole_answer())
    script.feed(b"HTTP/1.1 200 OK\r\n")
    assert script.transport.closed


def test_informational_answers_are_passed_over(clock: Clock) -> None:
    script = Script(clock, streamed=False)
    script.feed(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + wire.plain(wire.completion()))
    assert (["", 200], 1) == ([script.owner.ended[0][0], script.record.status], len(script.owner.ended))
