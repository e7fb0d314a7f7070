"""What is refused: with an answer that says why, in OpenAI's shape, and nothing after it is read as a request."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.body import MAX_FRAMING_BYTES
from gateway.http.head import MAX_HEADERS
from tests.gateway.http.asked import CHAT, LAWFUL, REFUSED, cut, places
from tests.gateway.http.door import Client, Desk, DoorLimits, request

CHUNKED = CHAT + b"transfer-encoding: chunked\r\n\r\n"
SMUGGLED = request(b"/smuggled", method=b"GET")


def test_the_limits_of_the_tests_are_not_reached_by_the_lawful() -> None:
    assert max(map(len, LAWFUL.values())) < DoorLimits().header_bytes


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED)
def test_it_is_a_400_in_openai_s_shape_and_the_end_of_the_connection(wire: bytes) -> None:
    client = Client().send(wire)
    (answer,) = client.answers
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert (answer.error["type"], answer.error["code"]) == ("invalid_request_error", "invalid_http")
    assert len(answer.error["message"]) > 20
    assert client.over
    assert [failure.kind for failure in client.desk.failures] == ["invalid_http"]
    assert client.desk.seen == []


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED)
def test_nothing_after_a_refused_request_is_interpreted(wire: bytes) -> None:
    client = Client().send(wire + SMUGGLED, SMUGGLED, b"\r\n\r\n" + SMUGGLED)
    assert [answer.status for answer in client.answers] == [400]
    assert client.desk.seen == []


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("holds", [False, True], ids=["answered at once", "answered later"])
def test_requests_before_a_refused_one_are_answered_first(wire: bytes, *, holds: bool) -> None:
    desk = Desk(holds=holds)
    client = Client(desk).send(request(body=b"1") + request(body=b"2") + wire + SMUGGLED, SMUGGLED)
    if holds:
        assert client.answers == []
        for number in range(2):
            desk.works[number].answer()
            client.loop.run()
    assert [answer.status for answer in client.answers] == [200, 200, 400]
    assert [seen.body for seen in desk.seen] == [b"1", b"2"]
    assert client.over


@settings(deadline=None, max_examples=60)
@given(wire=st.sampled_from(list(REFUSED.values())), places=places)
def test_a_refused_request_in_pieces_is_refused_once(wire: bytes, places: list[int]) -> None:
    client = Client().send(*cut(request(body=b"1") + wire + SMUGGLED, places))
    assert [answer.status for answer in client.answers] == [200, 400]
    assert len(client.desk.failures) == 1


@pytest.mark.parametrize("target", [b"/v1/messages", b"/v1/messages/batches?limit=1", b"http://a/v1/messages/x"])
def test_a_refusal_of_messages_has_anthropic_s_shape(target: bytes) -> None:
    client = Client().send(b"POST " + target + b" HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n")
    (answer,) = client.answers
    assert answer.status == 400
    document = json.loads(answer.body)
    assert (document["type"], document["error"]["type"]) == ("error", "invalid_request_error")


# -- limits ------------------------------------------------------------------------------------------------------------


def head_of(size: int) -> bytes:
    """A request whose head, as the limit counts it, is this long."""
    start = b"GET /health HTTP/1.1\r\nhost: a\r\nx: "
    return start + b"x" * (size - len(b"/health") - len("hosta") - 4 - len("x") - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("pieces", [1, 2, 7, 4000])
@pytest.mark.parametrize("before", [b"", request(body=b"{}"), request(body=b"x" * 20_000)], ids=["first", "2nd", "big"])
def test_a_head_over_the_limit_is_a_431(pieces: int, before: bytes) -> None:
    wire = before + head_of(4096 + 500)
    client = Client().send(*cut(wire, [len(wire) * part // pieces for part in range(pieces)]))
    answer = client.answers[-1]
    assert (answer.status, answer.error["code"]) == (431, "headers_too_large")
    assert "4096 bytes" in answer.error["message"]
    assert client.over
    assert (before != b"") == len(client.desk.seen)


@pytest.mark.parametrize("split", range(10, 4000, 500))
def test_a_pipelined_head_over_the_limit_is_a_431_wherever_the_read_ends(split: int) -> None:
    before, head = request(body=b"{}"), head_of(4096 + 500)
    client = Client().send(before + head[:split], head[split:])
    assert [answer.status for answer in client.answers] == [200, 431]


@pytest.mark.parametrize("before", [b"", request(body=b"x" * 20_000)], ids=["first", "second"])
@pytest.mark.parametrize("after", [b"", b"x" * 20_000], ids=["no body", "long body"])
@pytest.mark.parametrize("split", [0, 100, 20_090, 24_000])
def test_a_head_at_the_limit_passes_whatever_is_around_it(before: bytes, after: bytes, split: int) -> None:
    fields = b"x: " + b"x" * 3900 + b"\r\n"
    wire = before + request(body=after, fields=fields)
    client = Client().send(*cut(wire, [split]))
    assert {200} == {answer.status for answer in client.answers}


def test_a_head_without_an_end_is_refused_as_soon_as_it_is_over_the_limit() -> None:
    client = Client().send(b"GET /health HTTP/1.1\r\nhost: a\r\nx: ")
    for _ in range(5):
        client.send(b"x" * 1000)
    assert [answer.status for answer in client.answers] == [431]


def test_empty_lines_before_a_request_are_bounded_too() -> None:
    client = Client()
    for _ in range(3):
        client.send(b"\r\n" * 1000)
    assert [answer.status for answer in client.answers] == [431]


@pytest.mark.parametrize(("count", "status"), [(MAX_HEADERS - 1, 200), (MAX_HEADERS, 431)])
def test_headers_are_counted(count: int, status: int) -> None:
    client = Client().send(request(fields=b"a:\r\n" * count))
    assert [status] == [answer.status for answer in client.answers]


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 200), (64 * 1024 + 1, 413)])
def test_a_body_over_the_limit_is_a_413_before_it_comes(size: int, status: int) -> None:
    wire = request(body=b"x" * size)
    head = wire[: wire.index(b"\r\n\r\n") + 4]
    client = Client().send(head)
    assert ([413] if status == 413 else []) == [answer.status for answer in client.answers]
    client.send(wire[len(head) :])
    (answer,) = client.answers
    assert status == answer.status
    if status == 413:
        assert (answer.error["type"], answer.error["code"]) == ("request_too_large", "request_too_large")
        assert "`limits.body_bytes`" in answer.error["message"]
        assert "over the 64 KiB that" in answer.error["message"]
        assert client.desk.seen == []


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 200), (64 * 1024 + 1, 413)])
def test_a_chunked_body_over_the_limit_is_a_413(size: int, status: int) -> None:
    body = b"".join(b"400\r\n%b\r\n" % (b"x" * 1024) for _ in range(size // 1024))
    rest = size % 1024
    body += b"%x\r\n%b\r\n" % (rest, b"x" * rest) if rest else b""
    client = Client().send(CHUNKED, *cut(body + b"0\r\n\r\n", [7_000, 20_000, 50_000]))
    assert [status] == [answer.status for answer in client.answers]


def test_a_chunk_may_say_any_size_but_not_send_it() -> None:
    client = Client().send(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n")
    assert client.answers == []
    for _ in range(3):
        client.send(b"x" * 30_000)
    assert [answer.status for answer in client.answers] == [413]


def test_a_tls_handshake_is_told_that_the_port_speaks_plain_http() -> None:
    client = Client().send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert ["this is a TLS handshake at a port of plain HTTP: ask it with http://, or configure its `tls`"] == [
        failure.message for failure in client.desk.failures
    ]


def test_a_flood_of_chunk_extensions_is_refused() -> None:
    client = Client().send(CHUNKED + b"1;a=")
    for _ in range(2 + MAX_FRAMING_BYTES // 10_000):
        client.send(b"x" * 10_000)
    assert [(answer.status, answer.error["code"]) for answer in client.answers] == [(400, "invalid_http")]


def test_a_flood_of_tiny_chunks_is_refused() -> None:
    client = Client().send(CHUNKED)
    for _ in range(2 + MAX_FRAMING_BYTES // 4000):
        client.send(b"1\r\nx\r\n" * 1000)
    assert [answer.status for answer in client.answers] == [400]
    assert client.connection._reader.body_bytes < 32 * 1024


def test_small_chunks_are_not_a_flood() -> None:
    chunk = b"8\r\n12345678\r\n"
    client = Client().send(CHUNKED, *[chunk * 100] * 80, b"0\r\n\r\n")
    assert [seen.body for seen in client.desk.seen] == [b"12345678" * 8000]


def test_a_flood_of_trailers_is_refused() -> None:
    client = Client().send(CHUNKED + b"0\r\n")
    for _ in range(MAX_HEADERS + 3):
        client.send(b"a: b\r\n")
    assert [(answer.status, answer.error["code"]) for answer in client.answers] == [(431, "headers_too_large")]
    assert client.desk.seen == []


def test_the_framing_of_one_request_is_not_counted_for_the_next() -> None:
    client = Client()
    for _ in range(6):
        client.send(CHUNKED, *[b"1\r\nx\r\n" * 1000] * 10, b"0\r\n\r\n")
    assert [answer.status for answer in client.answers] == [200] * 6


# -- how the refused connection ends -----------------------------------------------------------------------------------


def test_the_rest_of_a_refused_request_is_read_and_thrown_away_for_a_moment() -> None:
    client = Client().send(request(body=b"x" * 70_000))
    assert client.transport.ended
    assert client.transport.reading
    assert not client.lost
    client.send(b"x" * 100_000)
    client.loop.step(10)
    assert client.lost
    assert client.desk.losses == 1


def test_a_client_that_leaves_after_its_refusal_is_let_go_at_once() -> None:
    client = Client().send(request(body=b"x" * 70_000))
    client.leave()
    assert client.lost


def test_while_a_refusal_waits_the_socket_is_read_so_that_its_client_can_be_seen_to_leave() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request(body=b"1") + REFUSED["two hosts"])
    client.send(request(body=b"thrown away"))
    assert client.transport.reading
    desk.works[0].answer()
    assert [answer.status for answer in client.answers] == [200, 400]
    assert client.transport.reading


def test_an_answer_that_is_still_leaving_is_not_cut_by_a_refusal_behind_it() -> None:
    client = Client()
    client.transport.stuck = True
    client.send(request(body=b"x" * 1000) + REFUSED["two hosts"])
    for _ in range(5):
        client.transport.unsent_bytes -= 100
        client.loop.step(20)
        assert not client.lost
    client.transport.unsent_bytes = 0
    client.loop.step(100)
    assert client.lost


def test_a_transport_that_cannot_half_close_is_closed() -> None:
    client = Client(half_closes=False).send(REFUSED["two hosts"])
    assert [answer.status for answer in client.answers] == [400]
    assert client.transport.state == "closed"


def test_an_error_of_our_own_is_not_taken_for_the_client_s() -> None:
    class Broken(Desk):
        def other(self, request: object) -> None:
            raise ZeroDivisionError

    client = Client(Broken())
    with pytest.raises(Exception) as raised:  # noqa: PT011 - httptools wraps it
        client.send(request(b"/health", method=b"GET"))
    assert isinstance(raised.value.__context__, ZeroDivisionError)
    assert client.answers == []
