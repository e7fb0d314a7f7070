"""Requests that are lawful, each shape by name, and the reading of them by h11, which is the oracle."""

from __future__ import annotations

import itertools

import h11
from hypothesis import strategies as st

from tests.gateway.http.door import request

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n"

LAWFUL = {
    "content-length": request(body=b'{"model":"m"}'),
    "no body": request(b"/health", method=b"GET"),
    "query": request(b"/v1/models?limit=2&after=a%20b", method=b"GET"),
    "chunked": CHAT + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
    "chunked, capitals": CHAT + b"Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "chunked, empty": CHAT + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk extensions": CHAT + b'transfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n2;q="x y"\r\nyo\r\n0\r\n\r\n',
    "trailers": CHAT + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 9\r\ncookie: a\r\n\r\n",
    "line ends before it": b"\r\n\r\n" + request(body=b"{}"),
    "an empty header": request(fields=b"x-empty:\r\n", body=b"{}"),
    "bytes over 127 in a header": request(fields=b"x-name: \xe4\xff\r\n", body=b"{}"),
    "every byte in the body": request(body=bytes(range(256))),
    "a request in the body": request(body=request(body=b"{}")),
    "keep-alive said": request(fields=b"connection: keep-alive\r\n", body=b"{}"),
    "a websocket offered": request(fields=b"connection: upgrade\r\nupgrade: websocket\r\n", body=b"{}"),
    "h2c offered, as Java does": request(
        fields=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
        body=b'{"model":"m"}',
    ),
    "h2c offered, no body": request(b"/health", method=b"GET", fields=b"connection: upgrade\r\nupgrade: h2c\r\n"),
    "h2c offered, chunked": CHAT
    + b"connection: upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 9\r\n\r\n",
    "HTTP/1.2": b"POST /v1/chat/completions HTTP/1.2\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}",
    "blanks around values": CHAT + b"x-a: \t b \t\r\ntransfer-encoding: chunked  \r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "upgrade without connection": request(fields=b"upgrade: websocket\r\n", body=b"{}"),
}
"""What leaves the connection open: several of these may follow each other."""

LAST = {
    "connection: close": request(fields=b"connection: close\r\n", body=b"{}"),
    "HTTP/1.0": request(version=b"1.0", body=b"{}"),
    "h2c offered by HTTP/1.0": request(version=b"1.0", fields=b"connection: upgrade\r\nupgrade: h2c\r\n", body=b"{}"),
    "h2c offered and close": request(fields=b"connection: close, upgrade\r\nupgrade: h2c\r\n", body=b"{}"),
    "HTTP/1.0 without host": b"GET /health HTTP/1.0\r\n\r\n",
}
"""What ends the connection."""

WAITING = {
    "expect": request(fields=b"expect: 100-continue\r\n", body=b"{}"),
    "expect, blanks around it": request(fields=b"expect: \t 100-continue \t\r\n", body=b"{}"),
    "expect, in capitals": request(fields=b"Expect: 100-Continue\r\n", body=b"{}"),
}
"""Whose client waits for a 100."""

HTTP10_EXPECT = request(version=b"1.0", fields=b"expect: 100-continue\r\n", body=b"{}")

BAD_HOSTS = {
    "a space": b"a b",
    "a path": b"a/v1",
    "a URL": b"http://a",
    "a user": b"me@a",
    "two ports": b"a:1:2",
    "letters for a port": b"a:http",
    "a signed port": b"a:+80",
    "a port over 65535": b"a:65536",
    "a list": b"a, b",
    "an IPv6 address without brackets": b"::1",
    "brackets around nothing": b"[]",
    "brackets around a name": b"[cafe]",
    "no closing bracket": b"[::1",
    "something behind the bracket": b"[::1]a",
    "a zone": b"[fe80::1%25eth0]",
    "a bad escape": b"a%zz",
    "a quote": b'"a"',
    "a backslash": b"a\\b",
    "bytes over 127": b"\xc3\xa4",
}

REFUSED = {
    **{f"a Host with {what}": b"GET / HTTP/1.1\r\nhost: %b\r\n\r\n" % host for what, host in BAD_HOSTS.items()},
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "the same host twice": b"GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two content-lengths": CHAT + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "the same content-length twice": CHAT + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "a content-length of 4,000 zeros": CHAT + b"content-length: " + b"0" * 4000 + b"5\r\n\r\nhello",
    "a list of content-lengths": CHAT + b"content-length: 5, 5\r\n\r\nhello",
    "content-length, then chunked": CHAT + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, then content-length": CHAT + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "chunked with a tab behind it": CHAT + b"transfer-encoding: chunked\t\r\n\r\n0\r\n\r\n",
    "empty content-length": CHAT + b"content-length: \r\n\r\n",
    "signed content-length": CHAT + b"content-length: +5\r\n\r\nhello",
    "negative content-length": CHAT + b"content-length: -5\r\n\r\nhello",
    "hexadecimal content-length": CHAT + b"content-length: 0x5\r\n\r\nhello",
    "content-length past 64 bits": CHAT + b"content-length: 99999999999999999999\r\n\r\n",
    "transfer-encoding: gzip": CHAT + b"transfer-encoding: gzip\r\n\r\n",
    "transfer-encoding: gzip, chunked": CHAT + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "transfer-encoding: chunked, gzip": CHAT + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "transfer-encoding: chunked, chunked": CHAT + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "transfer-encoding: chunked, twice": CHAT + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "transfer-encoding: xchunked": CHAT + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "transfer-encoding: identity": CHAT + b"transfer-encoding: identity\r\n\r\n",
    "transfer-encoding: vertical tab, chunked": CHAT + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "empty transfer-encoding": CHAT + b"transfer-encoding:\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": CHAT + b"x-a: b\r\n folded\r\n\r\n",
    "a folded first header": b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
    "a bare LF": CHAT + b"x-a: b\nx-b: c\r\n\r\n",
    "bare LFs only": b"GET / HTTP/1.1\nhost: a\n\n",
    "a bare CR": CHAT + b"x-a: b\rx-b: c\r\n\r\n",
    "a bare LF after a chunk size": CHAT + b"transfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "NUL in a value": CHAT + b"x-a: b\x00c\r\n\r\n",
    "NUL in a name": CHAT + b"x\x00a: b\r\n\r\n",
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\nhost: a\r\n\r\n",
    "space before the colon": CHAT + b"content-length : 5\r\n\r\nhello",
    "space in a name": CHAT + b"x a: b\r\n\r\n",
    "no name": CHAT + b": b\r\n\r\n",
    "no colon": CHAT + b"x-a\r\n\r\n",
    "an unknown method": b"FETCH / HTTP/1.1\r\nhost: a\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\nhost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    "CONNECT to a path": b"CONNECT /v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
    "an asterisk with GET": b"GET * HTTP/1.1\r\nhost: a\r\n\r\n",
    "a target that is an authority": b"GET a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
    "an absolute target of another scheme": b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "an absolute target without a host": b"GET http:///v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
    "an absolute target with a user": b"GET http://me@a/v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
    "an absolute target without a Host": b"GET http://a/v1/models HTTP/1.1\r\n\r\n",
    "CONNECT that offers a switch": b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0 said": b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
    "HTTP/0.9 said": b"GET / HTTP/0.9\r\nhost: a\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
    "bytes over 127 in the target": b"GET /\xc3\xa4 HTTP/1.1\r\nhost: a\r\n\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a chunk size past 64 bits": CHAT + b"transfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello",
    "a negative chunk size": CHAT + b"transfer-encoding: chunked\r\n\r\n-5\r\nhello",
    "a chunk size with 0x": CHAT + b"transfer-encoding: chunked\r\n\r\n0x5\r\nhello",
    "a chunk size with a space": CHAT + b"transfer-encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    "no chunk size": CHAT + b"transfer-encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": CHAT + b"transfer-encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n",
    "content-length in trailers": CHAT + b"transfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 5\r\n\r\n",
}
"""What is refused with 400, and closes the connection."""


def read_by_h11(wire: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Method, target and body of every request in these bytes."""
    asked = []
    while wire := wire.lstrip(b"\r\n"):  # RFC 9112 section 2.2 lets a server skip empty lines; h11 takes one only
        server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        server.receive_data(wire)
        method, target, body = b"", b"", b""
        while True:
            event = server.next_event()
            assert not isinstance(event, type(h11.NEED_DATA)), "the request is not whole"
            if isinstance(event, h11.Request):
                method, target = event.method, event.target
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
        asked.append((method, target, body))
        wire = server.trailing_data[0]
    return asked


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    """`wire` in reads that end at these places."""
    ends = sorted({place % (len(wire) + 1) for place in places} | {0, len(wire)})
    return [wire[start:end] for start, end in itertools.pairwise(ends)]


places = st.lists(st.integers(0, 1 << 20), max_size=30)
pipelines = st.lists(st.sampled_from(list(LAWFUL.values())), min_size=1, max_size=5).map(b"".join)
