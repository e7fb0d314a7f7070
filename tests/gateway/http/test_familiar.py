"""A head that comes again is read as it was the first time, and judged again only when the keys have changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.http1.known_head import MAX_HEAD_BYTES, head_bytes
from gateway.http.reader import MAX_UNMET
from gateway.identity import Keyring
from tests.gateway.http.asked import LAST, LAWFUL, REFUSED, WAITING, cut, places
from tests.gateway.http.door import CHAT, Client, Desk, DoorLimits, request

SDK = b"user-agent: OpenAI/Python\r\nx-api-key: sk-1\r\n"
AGAIN = [
    *(request(body=b"x" * size) for size in (1, 9, 10, 300)),
    *(request(fields=SDK, body=b"y" * size) for size in (2, 40)),
    request(b"/v1/models?limit=2", body=b"z"),
    b"POST /v1/rerank HTTP/1.1\r\nContent-Length:   0004 \t\r\nhost: a\r\n\r\n{}{}",
    b"POST /v1/rerank HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
    b"POST http://b:1/v1/score HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nx-content-length: 2\r\n\r\n{}",
]
wires = st.lists(
    st.sampled_from(AGAIN) | st.sampled_from([*(LAWFUL | WAITING | LAST).values(), *REFUSED.values()][:60]),
    min_size=1,
    max_size=8,
)


def told(desk: Desk) -> list[tuple[object, ...]]:
    return [
        (seen.method, seen.version, seen.path, seen.query, seen.headers, seen.fields, seen.body, seen.keep_alive)
        for seen in desk.seen
    ]


def principals(desk: Desk) -> list[tuple[object, object]]:
    return [(seen.principal, seen.admitted_by) for seen in desk.seen]


def both(reads: list[bytes]) -> tuple[Client, Client]:
    """The same reads at a door that knows heads again, and at one that reads each."""
    return Client().send(*reads), Client(Desk(keyring=None)).send(*reads)


@settings(deadline=None)
@given(wires=wires, places=places, whole=st.booleans())
def test_whatever_comes_is_read_as_if_nothing_were_known_again(
    wires: list[bytes], places: list[int], *, whole: bool
) -> None:
    knowing, reading = both(wires if whole else cut(b"".join(wires), places))
    assert told(reading.desk) == told(knowing.desk)
    assert reading.transport.out == knowing.transport.out
    assert [failure.kind for failure in reading.desk.failures] == [failure.kind for failure in knowing.desk.failures]
    assert reading.over == knowing.over


@settings(deadline=None)
@given(
    again=st.sampled_from(AGAIN), times=st.integers(1, 4), behind=st.binary(max_size=30), places=places, at=st.data()
)
def test_damaged_repetitions_are_read_as_if_nothing_were_known_again(
    again: bytes, times: int, behind: bytes, places: list[int], at: st.DataObject
) -> None:
    damaged = bytearray(again)
    place = at.draw(st.integers(0, len(damaged) - 1))
    damaged[place : place + at.draw(st.integers(0, 2))] = behind[:2]
    knowing, reading = both([again] * times + cut(bytes(damaged) + behind, places))
    assert told(reading.desk) == told(knowing.desk)
    assert reading.transport.out == knowing.transport.out
    assert reading.over == knowing.over


@pytest.mark.parametrize("again", AGAIN[:4])
def test_a_head_that_comes_again_may_come_in_two_reads_cut_anywhere(again: bytes) -> None:
    """Also between the name of its length and the first digit."""
    for cut_at in range(1, len(again)):
        client = Client().send(again, again[:cut_at], again[cut_at:])
        assert (len(client.desk.seen), client.desk.failures) == (2, [])


def test_a_head_that_comes_again_with_another_length_is_not_judged_again() -> None:
    client = Client().send(*[request(fields=SDK, body=b"x" * size) for size in (1, 12, 5)])
    assert client.desk.heads == [(CHAT, 1)]
    assert [b"x", b"x" * 12, b"x" * 5] == [seen.body for seen in client.desk.seen]
    assert len({seen.principal for seen in client.desk.seen}) == 1
    assert [client.desk.keyring] * 3 == [seen.admitted_by for seen in client.desk.seen]
    assert [b"1", b"12", b"5"] == [seen.fields[b"content-length"] for seen in client.desk.seen]


def test_its_body_may_come_in_several_reads_and_the_next_head_behind_it() -> None:
    one, two = request(fields=SDK, body=b"first"), request(fields=SDK, body=b"the second")
    at = two.index(b"\r\n\r\n") + 4
    client = Client().send(one, two[:at], two[at : at + 3], two[at + 3 :] + one, one)
    assert [b"first", b"the second", b"first", b"first"] == [seen.body for seen in client.desk.seen]
    assert client.desk.heads == [(CHAT, 5)]


def test_while_its_body_is_awaited_the_pace_of_bodies_holds() -> None:
    one = request(fields=SDK, body=b"first")
    client = Client().send(one, one[:-1])
    client.loop.step(300)
    assert [answer.status for answer in client.answers] == [200, 408]
    assert client.over


def test_a_new_keyring_judges_every_head_anew() -> None:
    one = request(fields=SDK, body=b"{}")
    client = Client().send(one, one)
    assert client.desk.heads == [(CHAT, 2)]
    client.desk.keyring = Keyring()
    client.send(one, one)
    assert client.desk.heads == [(CHAT, 2), (CHAT, 2)]
    assert [client.desk.keyring] * 2 == [seen.admitted_by for seen in client.desk.seen[2:]]


def test_another_key_is_another_head() -> None:
    client = Client().send(
        request(fields=b"x-api-key: sk-friend\r\n", body=b"{}"), request(fields=b"x-api-key: stranger\r\n", body=b"{}")
    )
    assert [answer.status for answer in client.answers] == [200, 401]


def test_a_known_head_with_too_long_a_body_is_refused() -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
    client = Client(Desk(limits=DoorLimits(body_bytes=10)))
    client.send(head % 10 + b"0123456789", head % 11)
    assert [answer.status for answer in client.answers] == [200, 413]


def test_what_the_parser_holds_of_a_next_request_is_not_forgotten() -> None:
    one = request(body=b"{}")
    client = Client().send(one, one + b"PO", one)
    assert [answer.status for answer in client.answers] == [200, 200, 400]


@pytest.mark.parametrize("wire", WAITING.values(), ids=WAITING.keys())
def test_a_client_that_waits_for_a_100_gets_one_each_time(wire: bytes) -> None:
    at = wire.index(b"\r\n\r\n") + 4
    client = Client().send(wire[:at], wire[at:], wire[:at], wire[at:])
    assert [answer.status for answer in client.answers] == [100, 200, 100, 200]


def test_a_pipelined_100_is_not_owed_to_a_later_request() -> None:
    plain, waiting = request(body=b"{}"), next(iter(WAITING.values()))
    client = Client(Desk(holds=True)).send(plain)
    client.desk.works[0].answer()
    client.send(plain, waiting)  # in line behind what is in progress, and whole
    client.desk.works[1].answer()
    client.loop.run()
    client.desk.works[2].answer()
    client.send(plain[:-1])
    client.connection.pause_writing()
    client.connection.resume_writing()
    assert [answer.status for answer in client.answers] == [200, 200, 200]


def test_heads_that_differ_each_time_are_soon_not_kept() -> None:
    client = Client()
    for number in range(MAX_UNMET):
        client.send(request(fields=b"traceparent: %d\r\n" % number, body=b"{}"))
    again = request(fields=b"traceparent: the same\r\n", body=b"{}")
    client.send(again, again)
    assert len(client.desk.heads) == MAX_UNMET + 2


def test_one_that_was_met_again_earns_its_client_more() -> None:
    client = Client()
    for number in range(2 * MAX_UNMET):
        one = request(fields=b"x-task: %d\r\n" % number, body=b"{}")
        client.send(one, one)
    assert len(client.desk.heads) == 2 * MAX_UNMET


def test_a_long_head_is_not_kept() -> None:
    client = Client(Desk(limits=DoorLimits(header_bytes=4 * MAX_HEAD_BYTES)))
    fits = request(fields=b"cookie: %b\r\n" % (b"c" * (MAX_HEAD_BYTES - 100)), body=b"{}")
    long = request(fields=b"cookie: %b\r\n" % (b"c" * MAX_HEAD_BYTES), body=b"{}")
    client.send(fits, fits)
    assert len(client.desk.heads) == 1
    client.send(long, long)
    assert len(client.desk.heads) == 3


@pytest.mark.parametrize(
    ("data", "headers", "size"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\nbody", 1, 27),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n\r\n\r\n", 1, 27),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 2, 0),
        (b"GET / HTTP/1.1\r\nhost: a\r\n", 1, 0),
        (b"\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", 1, 0),
        (b"GET / HTTP/1.1\nhost: a\n\nx: \r\n\r\n", 1, 0),
        (b"GET / HTTP/1.1\r\nhost: a\n\nx\r\n\r\n", 1, 0),
        (b"", 0, 0),
    ],
)
def test_a_head_ends_where_its_lines_say_or_it_is_not_sure(data: bytes, headers: int, size: int) -> None:
    assert head_bytes(data, headers) == size
