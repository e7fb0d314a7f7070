"""Whatever bytes come, nothing is raised, and the connection waits for more or has ended with an answer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.connection import USUAL
from tests.gateway.http.asked import LAST, LAWFUL, REFUSED, cut, places
from tests.gateway.http.door import Client, Desk

PIECES = [
    *(LAWFUL | LAST | REFUSED).values(),
    b"GET ",
    b"POST ",
    b"/",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"host: a\r\n",
    b"content-length: 3\r\n",
    b"transfer-encoding: chunked\r\n",
    b"connection: close\r\n",
    b"expect: 100-continue\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b":",
    b" ",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n",
]
soup = st.lists(st.sampled_from(PIECES) | st.binary(max_size=40), max_size=12).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good request with a few bytes changed, left out or put in."""
    wire = bytearray(draw(st.sampled_from(list((LAWFUL | LAST).values()))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(wire) - 1)) if wire else 0
        wire[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2) | st.sampled_from([b"\r\n", b":", b","]))
    return bytes(wire)


def check(wire: bytes, places: list[int], *, holds: bool, leaves: bool) -> None:
    desk = Desk(holds=holds)
    client = Client(desk).send(*cut(wire, places))
    for work in desk.works:
        assert work.told == []
    answered = 0
    while answered < len(desk.works):
        desk.works[answered].answer()
        answered += 1
        client.loop.run()
    refused = len(desk.failures)
    assert refused in (0, 1)
    methods = [seen.method.decode() for seen in desk.seen]
    finals = [answer for answer in client.answers if answer.status >= 200] if "HEAD" not in methods else None
    if finals is not None:
        assert [200] * len(desk.seen) == [answer.status for answer in finals][: len(desk.seen)]
        assert refused == len(finals) - len(desk.seen)
        for answer in finals[len(desk.seen) :]:
            assert 400 <= answer.status < 500
    assert client.over or not refused
    if leaves:
        client.leave()
    # What waits does not wait for ever.
    client.loop.step(max(USUAL.keep_alive_s, USUAL.head_s, USUAL.body_idle_s) + 10)
    assert client.lost
    assert list(desk.open) == []
    assert client.loop.timers == 0


@settings(deadline=None)
@given(wire=st.binary(max_size=300), places=places)
def test_random_bytes(wire: bytes, places: list[int]) -> None:
    check(wire, places, holds=False, leaves=False)


@settings(deadline=None)
@given(wire=soup, places=places, holds=st.booleans(), leaves=st.booleans())
def test_pieces_of_requests_in_any_order(wire: bytes, places: list[int], *, holds: bool, leaves: bool) -> None:
    check(wire, places, holds=holds, leaves=leaves)


@settings(deadline=None)
@given(wire=st.lists(damaged(), min_size=1, max_size=3).map(b"".join), places=places, holds=st.booleans())
def test_damaged_requests(wire: bytes, places: list[int], *, holds: bool) -> None:
    check(wire, places, holds=holds, leaves=False)


@settings(deadline=None)
@given(wire=soup, places=places, holds=st.booleans(), paused_after=st.integers(0, 12))
def test_a_client_that_stops_reading_holds_its_connection_for_no_more_than_minutes_in_any_state(
    wire: bytes, places: list[int], *, holds: bool, paused_after: int
) -> None:
    desk = Desk(holds=holds)
    client = Client(desk)
    client.transport.stuck = True
    for number, piece in enumerate(cut(wire, places)):
        if number == paused_after:
            client.transport.unsent_bytes += 1  # what makes a transport pause
            client.connection.pause_writing()
        client.send(piece)
    if desk.works and not client.lost and paused_after % 2:
        desk.works[0].answer()
    client.loop.step(4 * USUAL.unread_s)
    if not (client.connection.request is not None and not client.connection.paused):  # its work has its own bounds
        assert client.lost
        assert client.loop.timers == 0
