"""Which requests come out of which bytes: however the network cuts them, the same ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation
from gateway.http.answers import GO_ON, LARGE_BYTES
from gateway.http.connection import LATER_BYTES, MAX_WAITING, MAX_WAITING_BODY_BYTES
from tests.gateway.http.asked import (
    HTTP10_EXPECT,
    LAST,
    LAWFUL,
    REFUSED,
    WAITING,
    cut,
    pipelines,
    places,
    read_by_h11,
)
from tests.gateway.http.door import Client, Desk, DoorLimits, echo, read_answers, request

EVERY = LAWFUL | LAST | WAITING


def outcome(*reads: bytes) -> tuple[object, ...]:
    client = Client()
    client.send(*reads)
    return client.desk.asked, client.transport.out, [failure.kind for failure in client.desk.failures], client.over


@pytest.mark.parametrize("wire", EVERY.values(), ids=EVERY)
def test_a_request_is_read_as_h11_reads_it(wire: bytes) -> None:
    client = Client().send(wire)
    assert read_by_h11(wire) == client.desk.asked
    assert [echo(seen) for seen in client.desk.seen] == [answer.body for answer in client.answers if answer.body]


@pytest.mark.parametrize("wire", (EVERY | REFUSED).values(), ids=EVERY | REFUSED)
def test_a_request_cut_at_any_byte_is_the_same_request(wire: bytes) -> None:
    whole = outcome(wire)
    assert whole == outcome(*[wire[at : at + 1] for at in range(len(wire))])
    for at in range(1, len(wire)):
        assert whole == outcome(wire[:at], wire[at:]), at


@settings(deadline=None)
@given(wire=pipelines, places=places, last=st.sampled_from([b"", *LAST.values(), *REFUSED.values()]))
def test_a_pipeline_cut_anywhere_is_the_same_pipeline(wire: bytes, places: list[int], last: bytes) -> None:
    assert outcome(wire + last) == outcome(*cut(wire + last, places))


@settings(deadline=None)
@given(wire=pipelines, places=places)
def test_pipelined_requests_are_answered_in_order(wire: bytes, places: list[int]) -> None:
    client = Client().send(*cut(wire, places))
    assert read_by_h11(wire) == client.desk.asked
    assert [echo(seen) for seen in client.desk.seen] == [answer.body for answer in client.answers]
    assert not client.over


@pytest.mark.parametrize(("waiting", "unread"), [(MAX_WAITING - 1, False), (MAX_WAITING, True)])
def test_pipelined_requests_are_in_progress_one_at_a_time_and_several_leave_the_socket_unread(
    waiting: int, unread: bool
) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(b"".join(request(body=b"%d" % number) for number in range(waiting + 1)))
    for number in range(waiting + 1):
        assert [b"%d" % n for n in range(number + 1)] == [seen.body for seen in desk.seen]
        assert (unread and number < waiting) is not client.transport.reading
        desk.works[number].answer(b"answer %d" % number)
        client.loop.run()
    assert [answer.body for answer in client.answers] == [b"answer %d" % number for number in range(waiting + 1)]


def test_one_large_pipelined_request_leaves_the_socket_unread() -> None:
    desk = Desk(DoorLimits(body_bytes=1 << 20), holds=True)
    client = Client(desk).send(request() + request(body=bytes(MAX_WAITING_BODY_BYTES + 1)))
    assert not client.transport.reading
    desk.works[0].answer()
    client.loop.run()
    assert client.transport.reading


LARGE = bytes(LATER_BYTES + 1)
ROOM = DoorLimits(body_bytes=2 * LATER_BYTES)


def test_a_body_that_takes_long_to_read_begins_in_a_turn_of_its_own_and_in_its_place() -> None:
    desk = Desk(ROOM)
    client = Client(desk)
    client.connection.data_received(request(body=LARGE) + request(b"/after"))
    assert desk.seen == []
    client.loop.run()
    assert [len(one.body) for one in desk.seen] == [len(LARGE), 0]
    assert client.transport.reading
    assert len(client.answers) == 2


def test_a_100_for_the_next_one_waits_for_the_answer_of_what_begins_in_that_turn() -> None:
    desk = Desk(ROOM, holds=True)
    client = Client(desk)
    second = request(body=b"2", fields=b"expect: 100-continue\r\n")
    client.connection.data_received(request(body=LARGE) + second[:-1])
    client.loop.run()
    assert client.transport.out == b""
    desk.works[0].answer()
    client.loop.run()
    assert [answer.status for answer in read_answers(client.transport.out.removesuffix(GO_ON))] == [200]
    client.send(second[-1:])
    desk.works[1].answer()
    assert [answer.status for answer in client.answers] == [200, 100, 200]


def test_whoever_leaves_before_that_turn_has_asked_for_nothing() -> None:
    desk = Desk(ROOM, holds=True)
    client = Client(desk)
    client.connection.data_received(request(body=LARGE))
    client.reset()
    client.loop.run()
    assert (desk.seen, desk.works, desk.losses, len(desk.open)) == ([], [], 1, 0)


def test_a_drain_before_that_turn_lets_it_be_answered() -> None:
    desk = Desk(ROOM)
    client = Client(desk)
    client.connection.data_received(request(body=LARGE))
    desk.draining = True
    client.connection.drain()
    client.loop.run()
    (answer,) = client.answers
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_a_body_that_came_in_time_is_not_late_for_the_turn_that_it_waits() -> None:
    desk = Desk(ROOM, holds=True)
    client = Client(desk)
    client.connection.data_received(request(body=LARGE))
    client.connection._expired()
    client.loop.run()
    assert [work.told for work in desk.works] == [[]]
    desk.works[0].answer()
    assert [answer.status for answer in client.answers] == [200]


def test_a_pipeline_of_many_short_requests_is_no_deep_stack() -> None:
    client = Client().send(request(body=b"first"), request(b"/health", method=b"GET") * 3000)
    assert len(client.desk.seen) == 3001
    assert len(client.answers) == 3001


def test_a_held_pipeline_of_many_short_requests_is_no_deep_stack() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request(body=b"first") + request(b"/health", method=b"GET") * 3000)
    desk.holds = False
    desk.works[0].answer()
    client.loop.run()
    assert len(client.answers) == 3001


def test_a_connection_is_kept_for_the_next_request() -> None:
    client = Client().send(request(body=b"1")).send(request(body=b"2"))
    assert [answer.status for answer in client.answers] == [200, 200]
    assert not client.over


@pytest.mark.parametrize("wire", LAST.values(), ids=LAST)
def test_the_last_request_closes_the_connection_and_says_so(wire: bytes) -> None:
    client = Client().send(wire)
    assert [answer.headers["connection"] for answer in client.answers] == ["close"]
    assert client.lost


def test_what_follows_a_last_request_is_not_answered() -> None:
    client = Client().send(LAST["connection: close"] + request(body=b"next"))
    assert [seen.body for seen in client.desk.seen] == [b"{}"]
    assert [answer.status for answer in client.answers] == [200]
    assert client.desk.failures == []


def test_http_1_0_with_keep_alive_stays_open_and_is_told_so() -> None:
    client = Client().send(request(version=b"1.0", fields=b"connection: keep-alive\r\n"))
    assert [(answer.status, answer.headers.get("connection")) for answer in client.answers] == [(200, "keep-alive")]
    assert not client.over


@pytest.mark.parametrize("wire", WAITING.values(), ids=WAITING)
def test_a_client_that_expects_100_is_told_to_go_on(wire: bytes) -> None:
    head, _, body = wire.partition(b"\r\n\r\n")
    client = Client().send(head + b"\r\n\r\n")
    assert client.transport.out == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(body)
    assert [answer.status for answer in client.answers] == [100, 200]


def test_http_1_0_is_never_sent_a_100() -> None:
    client = Client().send(HTTP10_EXPECT)
    assert [answer.status for answer in client.answers] == [200]


def test_a_body_too_large_is_refused_without_a_100() -> None:
    client = Client().send(request(body=b"x" * 70_000, fields=b"expect: 100-continue\r\n"))
    assert [answer.status for answer in client.answers] == [413]


def test_a_100_waits_for_the_answer_in_progress() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request(body=b"1"))
    second = request(body=b"2", fields=b"expect: 100-continue\r\n")
    client.send(second[:-1])
    assert client.transport.out == b""
    desk.works[0].answer()
    client.loop.run()
    assert client.transport.out.endswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    client.send(second[-1:])
    desk.works[1].answer()
    assert [answer.status for answer in client.answers] == [200, 100, 200]


def test_trailers_are_not_headers() -> None:
    client = Client().send(LAWFUL["trailers"])
    (seen,) = client.desk.seen
    assert seen.headers == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
    assert dict(seen.headers) == seen.fields


def test_header_names_are_in_lower_case_and_in_order_and_values_as_they_came() -> None:
    client = Client().send(request(fields=b"X-B: 1\r\nX-a: Two Words\r\nX-B: 3\r\n"))
    (seen,) = client.desk.seen
    assert seen.headers == [(b"host", b"a"), (b"x-b", b"1"), (b"x-a", b"Two Words"), (b"x-b", b"3")]
    assert seen.fields == {b"host": b"a", b"x-b": b"3", b"x-a": b"Two Words"}


@pytest.mark.parametrize("operation", Operation)
def test_each_operation_is_known_by_its_path_and_nothing_like_it_is(operation: Operation) -> None:
    path = operation.value.encode()
    client = Client().send(request(path), request(path + b"?a=1"), request(path + b"/"), request(path.upper()))
    assert [operation, operation, None, None] == client.desk.operations


@pytest.mark.parametrize("method", [b"POST", b"HEAD"])
@pytest.mark.parametrize("size", [LARGE_BYTES, LARGE_BYTES + 1])
def test_a_large_answer_leaves_after_its_head(size: int, method: bytes) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request(method=method) + request())
    body = b"x" * size
    desk.works[0].answer(body)
    client.loop.run()
    desk.works[1].answer(b"after")
    client.loop.run()
    large, after = read_answers(client.transport.out, methods=[method.decode(), "POST"])
    assert large.headers["content-length"] == str(size)
    assert (large.body, after.body) == (b"" if method == b"HEAD" else body, b"after")


def test_an_answer_to_head_has_no_body_and_the_length_of_what_it_leaves_out() -> None:
    client = Client().send(request(b"/health", method=b"HEAD") + request(b"/health", method=b"GET"))
    head, _, rest = client.transport.out.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(echo(client.desk.seen[0])) in head + b"\r\n"
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_that_has_no_body_is_sent_without_one(status: int) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request() + request())
    desk.works[0].answer(b"what the next answer must not be read as", status)
    client.loop.run()
    desk.works[1].answer(b"next")
    assert [(status, b""), (200, b"next")] == [(answer.status, answer.body) for answer in client.answers]
    assert (status == 304) == ("content-length" in client.answers[0].headers)


@pytest.mark.parametrize("status", [226, 299, 418, 425, 499, 520, 529, 599, 999])
def test_any_status_that_an_engine_may_say_can_be_passed_on(status: int) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    desk.works[0].answer(b"odd", status)
    assert [(status, b"odd")] == [(answer.status, answer.body) for answer in client.answers]


@pytest.mark.parametrize(("version", "ends"), [(b"1.1", False), (b"1.0", True)])
def test_a_stream_is_chunked_or_in_http_1_0_ended_by_the_close(version: bytes, ends: bool) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request(version=version, fields=b"connection: keep-alive\r\n"))
    connection = client.asker
    connection.begin_stream(200, b"content-type: text/event-stream\r\n", b"data: 1\n\n")
    connection.write(b"data: 2\n\n")
    connection.end_stream(b"data: [DONE]\n\n")
    client.loop.run()
    assert [answer.body for answer in client.answers] == [b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"]
    assert ends is client.lost


def test_a_stream_that_is_cut_never_looks_whole() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    client.asker.begin_stream(200, b"", b"data: 1\n\n")
    client.asker.cut()
    client.loop.run()
    assert client.transport.out.endswith(b"\r\n9\r\ndata: 1\n\n\r\n")
    assert client.transport.state == "aborted"
    assert desk.works[0].told == []  # whoever cuts knows already


def test_the_timers_of_a_busy_connection_do_not_pile_up() -> None:
    client = Client()
    for _ in range(100):
        client.send(request()[:5], request()[5:])
    assert client.loop.timers <= 2
    client.reset()
    assert client.loop.timers == 0


def test_the_authority_of_a_whole_url_replaces_the_host() -> None:
    wire = b"POST http://real.example:81/v1/chat/completions?a=b HTTP/1.1\r\nx-a: 1\r\nhost: other\r\n\r\n"
    client = Client().send(wire)
    (seen,) = client.desk.seen
    assert (seen.path, seen.query) == (b"/v1/chat/completions", b"a=b")
    assert seen.headers == [(b"x-a", b"1"), (b"host", b"real.example:81")]
    assert seen.fields == dict(seen.headers)
    assert client.desk.operations == [Operation.CHAT]


@pytest.mark.parametrize("target", [b"*", b"http://a"])
def test_options_for_the_whole_server_is_answered_and_leaves_the_connection_open(target: bytes) -> None:
    client = Client().send(b"OPTIONS %b HTTP/1.1\r\nhost: a\r\n\r\n" % target + request(body=b"next"))
    assert [(answer.status, answer.headers.get("allow")) for answer in client.answers] == [
        (204, "GET, HEAD, POST, OPTIONS"),
        (200, None),
    ]
    assert [seen.body for seen in client.desk.seen] == [b"next"]


OFFERS = [wire for name, wire in LAWFUL.items() if "offered" in name]


@settings(deadline=None)
@given(wires=st.lists(st.sampled_from(OFFERS) | st.sampled_from(list(LAWFUL.values())), max_size=4), places=places)
def test_an_offer_to_switch_protocols_is_ignored_wherever_reads_end(wires: list[bytes], places: list[int]) -> None:
    wire = b"".join([OFFERS[1], *wires, OFFERS[1]])
    client = Client().send(*cut(wire, places))
    assert read_by_h11(wire) == client.desk.asked
    assert not client.over
