"""Frames: every message arrives whole and in its lane's order, control first, and what is unsent has a bound."""

from __future__ import annotations

import contextlib
import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.links.frames import PIECE_BYTES, Incoming, Kind, Nonsense, SendQueue, Whole

wholes = st.lists(
    st.builds(
        Whole,
        st.sampled_from(Kind),
        st.integers(0, 2**32 - 1),
        st.booleans(),
        st.one_of(
            st.binary(max_size=50),
            st.integers(PIECE_BYTES - 2, 3 * PIECE_BYTES + 2).map(lambda size: bytes([size % 251]) * size),
        ),
    ),
    max_size=8,
)


def taken(outgoing: SendQueue) -> bytes:
    return b"".join(outgoing.take())


def sent(messages: list[Whole]) -> bytes:
    outgoing = SendQueue()
    for kind, number, bulk, data in messages:
        assert outgoing.put(kind, number, data, bulk=bulk)
    stream = b""
    while outgoing:
        stream += taken(outgoing)
    assert outgoing.unsent_bytes == 0
    return stream


@settings(deadline=None, max_examples=60)
@given(wholes, st.lists(st.integers(0, 10_000_000), max_size=10))
def test_messages_arrive_whole_and_control_before_bulk_however_the_pipe_cuts_them(
    messages: list[Whole], cuts: list[int]
) -> None:
    stream, incoming = sent(messages), Incoming()
    places = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    came = [whole for start, stop in itertools.pairwise(places) for whole in incoming.feed(stream[start:stop])]
    assert came == [one for one in messages if not one.bulk] + [one for one in messages if one.bulk]


def test_control_waits_for_one_piece_of_bulk_and_not_for_the_rest() -> None:
    outgoing, incoming = SendQueue(), Incoming()
    outgoing.put(Kind.TELL, 0, b"b" * (5 * PIECE_BYTES), bulk=True)
    assert list(incoming.feed(taken(outgoing))) == []
    outgoing.put(Kind.TELL, 0, b"now", bulk=False)
    assert [whole.data for whole in incoming.feed(taken(outgoing))] == [b"now"]
    came: list[Whole] = []
    while outgoing:
        came += incoming.feed(taken(outgoing))
    assert came == [Whole(Kind.TELL, 0, True, b"b" * (5 * PIECE_BYTES))]


def test_a_message_of_one_piece_is_not_copied_on_its_way_out() -> None:
    outgoing, data = SendQueue(), b"b" * PIECE_BYTES
    outgoing.put(Kind.TELL, 0, data, bulk=True)
    assert outgoing.take()[1] is data


def test_each_lane_has_a_bound_of_its_own_and_room_again_when_it_is_sent() -> None:
    outgoing = SendQueue(bulk_bytes=10, control_bytes=5)
    assert [outgoing.put(Kind.TELL, 0, b"12345", bulk=bulk) for bulk in (True, True, True, False, False)] == [
        *(True, True, False, True, False)
    ]
    assert outgoing.unsent_bytes == 15
    outgoing.take()
    assert [outgoing.put(Kind.TELL, 0, b"12345", bulk=bulk) for bulk in (True, False)] == [False, True]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_nonsense(data: bytes) -> None:
    with contextlib.suppress(Nonsense):
        list(Incoming().feed(data))


def frame(flags: int, size: int, data: bytes = b"", number: int = 1) -> bytes:
    return struct.pack(">BII", flags, number, size) + data


@pytest.mark.parametrize(
    "stream",
    [
        frame(4, 0),
        frame(0, PIECE_BYTES + 1),
        frame(0x20, 1, b"a") + frame(0x01, 1, b"b"),
        frame(0x20, 1, b"a") + frame(0, 1, b"b", number=2),
        frame(0x40, 0),
    ],
    ids=["kind", "piece too large", "another kind inside", "another question inside", "unknown flag"],
)
def test_nonsense_is_refused_before_it_is_kept(stream: bytes) -> None:
    with pytest.raises(Nonsense):
        list(Incoming().feed(stream))


def test_a_message_without_end_is_refused_at_its_bound() -> None:
    incoming, piece = Incoming(message_bytes=3 * PIECE_BYTES), frame(0x20, PIECE_BYTES, b"x" * PIECE_BYTES)
    for _ in range(3):
        assert list(incoming.feed(piece)) == []
    with pytest.raises(Nonsense):
        list(incoming.feed(piece))
