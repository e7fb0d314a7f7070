"""Answers to feed to the client: a corpus that names each shape, a strategy that mixes them, and h11 as the oracle."""

from __future__ import annotations

from dataclasses import dataclass

import h11
from hypothesis import strategies as st

from tests.engines.http1.recorder import Heard


@dataclass(frozen=True)
class Answer:
    """Bytes of one answer, interim ones before it included."""

    wire: bytes
    until_close: bool = False
    """The body ends where the connection does."""


def of(text: str, *, until_close: bool = False) -> Answer:
    """Line ends of the source become CRLF; the first and the last newline are not part of it."""
    return Answer(text.strip("\n").replace("\n", "\r\n").encode(), until_close)


CORPUS = {
    "content-length": of("HTTP/1.1 200 OK\ncontent-length: 5\ncontent-type: text/plain\n\nhello"),
    "content-length 0": Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    "chunked": Answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
    "chunked, capitals": Answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    "chunked, spaces around it": Answer(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: \t chunked  \r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ),
    "chunked, empty": Answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunk extensions": Answer(
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n2;q="x y"\r\nyo\r\n0;last=1\r\n\r\n'
    ),
    "trailers": Answer(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: 1\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 9\r\nx-b: 2\r\n\r\n"
    ),
    "close-delimited": of("HTTP/1.1 200 OK\ncontent-type: text/plain\n\nhello", until_close=True),
    "close-delimited, empty": Answer(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", until_close=True),
    "100 before": of("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\ncontent-length: 2\n\nok"),
    "103 and 100 before": of(
        "HTTP/1.1 103 Early Hints\nlink: </a>; rel=preload\n\nHTTP/1.1 100 Continue\n\n"
        "HTTP/1.1 429 Too Many Requests\nretry-after: 1\ncontent-length: 2\n\nno"
    ),
    "204": Answer(b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n"),
    "304 with the length of what it stands for": Answer(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 999\r\n\r\n"),
    "connection: close": of("HTTP/1.1 503 Service Unavailable\nconnection: close\ncontent-length: 4\n\nbusy"),
    "HTTP/1.0": of("HTTP/1.0 200 OK\ncontent-length: 2\n\nok"),
    "HTTP/1.0 keep-alive": of("HTTP/1.0 200 OK\nconnection: keep-alive\ncontent-length: 2\n\nok"),
    "HTTP/1.0 close-delimited": of("HTTP/1.0 200 OK\nserver: old\n\nhello", until_close=True),
    "no reason phrase": of("HTTP/1.1 200 \ncontent-length: 2\n\nok"),
    "repeated headers": of("HTTP/1.1 200 OK\nset-cookie: a=1\nset-cookie: b=2\nx-empty:\ncontent-length: 2\n\nok"),
    "blanks around values": Answer(
        b"HTTP/1.1 200 OK\r\nx-a: \t b c \t\r\ncontent-type:text/plain \r\nx-b: \t \r\ncontent-length: \t2 \r\n\r\nok"
    ),
    "newlines in the body": Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n\r\n\r\n\r\n\r\n"),
    "an answer in the body": Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
}

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=12).map(lambda name: "x-" + name)
VALUE = st.text("".join(map(chr, range(33, 127))), max_size=40) | st.sampled_from(["a b", "x" * 9000])
BODIES = st.lists(st.binary(min_size=1, max_size=60), max_size=5)
EXTENSIONS = st.sampled_from(["", "", ";a", ";a=b", ';name="quoted text"', ";a=1;b=2"])
INTERIM = st.sampled_from(
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\nx-step: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nlink: </b>\r\n\r\n",
    ]
)


def _fields(pairs: list[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in pairs).encode()


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Any lawful answer."""
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 304, 400, 404, 429, 500, 503]))
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    headers = draw(st.lists(st.tuples(TOKEN, VALUE), max_size=4))
    parts = draw(BODIES)
    connection = draw(st.sampled_from(["", "", "close", "keep-alive"]))
    framings = ["length", "length", "close"] if version == "1.0" else ["length", "chunked", "chunked", "close"]
    framing = "none" if status in (204, 304) else draw(st.sampled_from(framings))
    if connection:
        headers.insert(draw(st.integers(0, len(headers))), ("Connection", connection))
    body = b"".join(parts)
    if framing == "length":
        headers.insert(draw(st.integers(0, len(headers))), ("Content-Length", str(len(body))))
    elif framing == "chunked":
        headers.insert(draw(st.integers(0, len(headers))), ("Transfer-Encoding", "chunked"))
        body = b"".join(b"%x%b\r\n%b\r\n" % (len(part), draw(EXTENSIONS).encode(), part) for part in parts)
        body += b"0\r\n" + _fields(draw(st.lists(st.tuples(TOKEN, VALUE), max_size=2))) + b"\r\n"
    elif framing == "none":
        body = b""
    interim = b"".join(draw(st.lists(INTERIM, max_size=2))) if version == "1.1" else b""
    reason = draw(st.sampled_from(["OK", "Not Quite Right", ""]))
    wire = interim + f"HTTP/{version} {status} {reason}\r\n".encode() + _fields(headers) + b"\r\n" + body
    return Answer(wire, until_close=framing == "close")


def by_h11(answer: Answer) -> tuple[Heard, bool]:
    """What h11, an independent parser, reads in it, and whether the connection may be used again.

    The second is RFC 9112 section 9.3 written out: h11 itself never keeps an HTTP/1.0 connection.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1_000_000)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(answer.wire)
    if answer.until_close:
        connection.receive_data(b"")
    status, version, headers, body = 0, b"", tuple[tuple[bytes, bytes], ...](), b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            status, version = event.status_code, bytes(event.http_version)
            headers = tuple((bytes(name), bytes(value)) for name, value in event.headers)
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            option = dict(headers).get(b"connection", b"")
            keeps = option != b"close" if version == b"1.1" else option == b"keep-alive"
            return Heard(status, headers, body, "done"), keeps and not answer.until_close
        elif not isinstance(event, h11.InformationalResponse):
            raise AssertionError(f"the oracle wants more: {event}")
