"""The reader of server-sent events: every split of a stream gives what the whole gives."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.client import sse
from loadtests.client.sse import Event, SseReader

WIRE = (
    b"\xef\xbb\xbf: hello\n\n"
    b'data: {"a":1}\n\n'
    b'data: {"b":"\xc3\xa9"}\r\n\r\n'
    b"event: error\rdata:one\rdata: two\r\r"
    b"\n\nid: 7\nretry: 10\n\n"
    b"data\n\ndata:\n\n"
    b":\n\n: keep-alive\n\ndata: tail\r\n\n"
    b"data: [DONE]\n\n"
    b"data: cut off"
)
EVENTS: list[Event] = [
    (b"", b'{"a":1}'),
    (b"", b'{"b":"\xc3\xa9"}'),
    (b"error", b"one\ntwo"),
    (b"", b""),
    (b"", b""),
    (b"", b"tail"),
    (b"", b"[DONE]"),
]


def read(*parts: bytes) -> list[Event]:
    reader = SseReader()
    return [event for part in parts for event in reader.feed(part)]


def test_a_stream_in_one_piece_is_read_by_the_standard() -> None:
    assert read(WIRE) == EVENTS


def test_every_split_in_two_gives_what_the_whole_gives() -> None:
    splits = [read(WIRE[:at], WIRE[at:]) for at in range(len(WIRE) + 1)]
    assert splits == [EVENTS] * (len(WIRE) + 1)


def test_every_split_in_three_gives_what_the_whole_gives() -> None:
    ends = range(len(WIRE) + 1)
    wrong = [(a, b) for a in ends for b in ends[a:] if read(WIRE[:a], WIRE[a:b], WIRE[b:]) != EVENTS]
    assert wrong == []


def test_byte_by_byte_gives_what_the_whole_gives() -> None:
    assert read(*(WIRE[at : at + 1] for at in range(len(WIRE)))) == EVENTS


@settings(deadline=None)
@given(st.text(alphabet="da:t\n\r x\ufeff").map(str.encode), st.lists(st.integers(0, 60)))
def test_any_bytes_in_any_split_give_what_the_whole_gives(wire: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(wire)]
    assert read(*(wire[a:b] for a, b in itertools.pairwise(ends))) == read(wire)


def test_an_event_is_there_as_soon_as_its_blank_line_is() -> None:
    reader = SseReader()
    assert [reader.feed(b"data: a"), reader.feed(b"\r\n"), reader.feed(b"\r"), reader.feed(b"\ndata: b")] == [
        [],
        [],
        [(b"", b"a")],
        [],
    ]


def test_an_event_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_PENDING_BYTES", 10)
    reader = SseReader()
    reader.feed(b"data: 1234")
    with pytest.raises(sse.SseOverflow):
        reader.feed(b"5")
