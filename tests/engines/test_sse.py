"""Whole events are found without decoding them. The oracle is a parser written from the standard, line by line."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engines.sse import MOST_LINES, payload, split, whole_events

relaxed = settings(deadline=None)
Event = tuple[str, str]
"""What a client is told: the event's name and its data."""


def parsed(stream: bytes) -> list[Event]:
    """The events of a stream as WHATWG HTML section 9.2.6 has a client read them."""
    events: list[Event] = []
    name, data = "", list[str]()
    lines = stream.decode(errors="replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line in lines[:-1]:  # what follows the last line end is not a line
        if not line:
            if data:
                events.append((name or "message", "\n".join(data)))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ")
    return events


text = st.text(st.characters(exclude_characters="\r\n\ufeff", exclude_categories=["Cs"]), max_size=12)
line = st.one_of(
    text.map("data: {}".format),
    text.map("data:{}".format),
    text.map("event: {}".format),
    text.map("id: {}".format),
    text.map(": {}".format),
    st.sampled_from(["data:", ":", "retry: 10", "data: [DONE]", "data:  two spaces"]),
)


def ended(lines: list[str], ends: list[str]) -> str:
    """Each line with its end; a blank one after a carriage return does not end in a line feed, which would join it."""
    stream = ""
    for text, end in zip(lines, ends, strict=True):
        stream += text + ("\r" if not text and end == "\n" and stream.endswith("\r") else end)
    return stream


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A stream of whole events, each line ended in any way that the standard allows."""
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\n", "\r\n"], ["\n", "\r\n", "\r"]]))
    end = st.sampled_from(ends)
    events = draw(st.lists(st.tuples(st.lists(line, max_size=4), st.integers(1, 3)), max_size=6))
    lines = [text for lines, blank in events for text in [*lines, *[""] * blank]]
    stream = ended(lines, [draw(end) for _ in lines]).encode()
    return stream + b"\n" if stream.endswith(b"\n\r") else stream  # or the last event might not be over


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    return [stream[start:stop] for start, stop in itertools.pairwise(places)]


@relaxed
@given(streams())
def test_a_stream_of_whole_events_is_whole(stream: bytes) -> None:
    if parsed(stream):
        assert len(stream) == whole_events(stream)


@relaxed
@given(streams(), st.integers(0, 200))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", 10)
@example(b"data: a\n\n\ndata: b\n\n", 9)
@example(b"data: a\r\r\ndata: b\n\r", 9)
def test_the_whole_part_of_a_stream_is_the_longest_that_ends_an_event(stream: bytes, cut: int) -> None:
    part = stream[:cut]
    size = whole_events(part)
    awaited = part.endswith(b"\n\r")  # the line feed that may follow belongs to it
    assert parsed(part[: len(part) - awaited]) == parsed(part[:size])
    assert size == 0 or len(parsed(part[:size] + b"data: x\n\n")) == len(parsed(part[:size])) + 1
    assert parsed(part[size : len(part) - awaited]) == []


@relaxed
@given(streams())
def test_split_events_are_the_block(stream: bytes) -> None:
    block = stream[: whole_events(stream)]
    assert block == b"".join(split(block))


@relaxed
@given(streams())
def test_each_split_event_is_one_event(stream: bytes) -> None:
    block = stream[: whole_events(stream)]
    assert all(len(parsed(event)) <= 1 for event in split(block))
    assert parsed(block) == [told for event in split(block) for told in parsed(event)]


@relaxed
@given(streams())
def test_the_payload_of_an_event_is_its_data(stream: bytes) -> None:
    events = split(stream[: whole_events(stream)])
    told = [(parsed(event) or [("", "")])[0][1] for event in events]
    assert told == [payload(event).decode() for event in events]


@relaxed
@given(streams(), st.lists(st.integers(0, 10_000), max_size=8))
def test_pieces_held_back_to_whole_events_make_the_same_stream(stream: bytes, cuts: list[int]) -> None:
    stream = stream[: whole_events(stream)]
    held, passed = b"", []
    for piece in pieces(stream, cuts):
        held += piece
        size = whole_events(held)
        passed += split(held[:size])
        held = held[size:]
    assert (stream, b"") == (b"".join(passed) + held, held.strip(b"\r\n"))
    assert parsed(stream) == [told for event in passed for told in parsed(event)]


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"data: {}\r\n\r\n", b"{}"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data: a\r\ndata: b\r\n\r\n", b"a\nb"),
        (b"event: error\ndata: {}\n\n", b"{}"),
        (b"data:  led by a space\n\n", b" led by a space"),
        (b": keep-alive\n\n", b""),
        (b"event: ping\n\n", b""),
        (b"data: \n\n", b""),
        (b"database: x\n\n", b""),
        (b"\n\n", b""),
    ],
)
def test_payloads_of_the_shapes_engines_send(event: bytes, data: bytes) -> None:
    assert data == payload(event)


@pytest.mark.parametrize("part", [b"", b"data: a", b"data: a\n", b"data: a\r\n", b"data: a\r\n\r", b"\n", b"\r\n"])
def test_an_unfinished_event_is_not_whole(part: bytes) -> None:
    assert whole_events(part) == 0


class Counted(bytearray):
    """Bytes that know how many of them were searched."""

    searched = 0

    def rfind(self, *args: Any) -> int:
        self.searched += len(self) - args[1]
        return super().rfind(*args)

    def find(self, *args: Any) -> int:
        self.searched += len(self) - args[1]
        return super().find(*args)


@pytest.mark.parametrize("byte", [b"x", b"\r", b"\n\r", b"ab\r\n"])
def test_only_what_is_new_is_searched(byte: bytes) -> None:
    data = Counted()
    for _ in range(1000):
        begun = len(data)
        data += byte * 8
        whole_events(data, max(0, begun - 2))
    assert data.searched <= 5 * (len(data) + 2000)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_an_event_of_millions_of_lines_has_no_data(end: bytes) -> None:
    lines = MOST_LINES // len(end) - 1
    assert b"\n".join([b"a"] * lines) == payload((b"data: a" + end) * lines + end)
    assert b"" == payload((b"data: a" + end) * (lines + 1) + end)
