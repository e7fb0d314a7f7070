"""A streamed answer, event by event, and what the scripts do to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import msgspec

from engines.fakes.asked import Asked
from engines.fakes.problems import Kind, Problem
from engines.fakes.scripts import Script
from engines.fakes.story import Story


class Place(Enum):
    """Where in an answer an event stands."""

    OPENING = "opening"
    CONTENT = "content"
    CLOSING = "closing"
    """From the reason why it ended on."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it is sent."""

    data: bytes
    place: Place = Place.CONTENT


class Cut(Exception):
    """The connection is to be closed here."""


class Stall(Exception):
    """Nothing more is to be sent."""


class Format(Protocol):
    """How one provider writes answers of a model. All of it is pure: the same story gives the same bytes."""

    stream_type: bytes
    """The content type of a stream."""

    def plain(self, asked: Asked, story: Story, number: int) -> Any:
        """The whole answer, to be written as JSON."""

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        """The same, streamed."""

    def broken(self, problem: Problem) -> bytes:
        """The event that says that a stream has failed."""

    def ping(self) -> bytes:
        """What keeps a connection open; empty where the format has nothing."""

    def unknown(self) -> bytes:
        """An event that no documentation has."""


def scripted(form: Format, frames: Iterable[Frame], script: Script | None) -> Iterator[bytes]:
    """The events of a stream as they leave. Raises Cut where to close the connection, Stall where nothing follows."""
    frames = list(frames)
    content = sum(frame.place is Place.CONTENT for frame in frames)
    half = (content + 1) // 2
    seen = 0
    for frame in frames:
        if frame.place is Place.CONTENT:
            if seen == half and script in (Script.ERROR_MID_STREAM, Script.OVERLOADED_MID_STREAM):
                kind = Kind.FAILED if script is Script.ERROR_MID_STREAM else Kind.OVERLOADED
                yield form.broken(Problem(kind, "It broke half-way."))
                return
            if seen == half and script is Script.TRUNCATED:
                yield frame.data[: len(frame.data) // 2]
                raise Cut
            if seen == half and script is Script.STALLED:
                raise Stall
            if script is Script.PINGS and seen < 2:
                yield form.ping()
            seen += 1
        elif frame.place is Place.CLOSING:
            if script is Script.UNFINISHED:
                return
            if script is Script.TRUNCATED:
                raise Cut
        yield frame.data
        if script is Script.UNKNOWN_EVENT and frame.place is Place.CONTENT and seen == 1:
            yield form.unknown()


def data_event(value: Any) -> bytes:
    """A server-sent event without a name."""
    return b"data: %b\n\n" % msgspec.json.encode(value)


def named_event(name: str, value: Any) -> bytes:
    """A server-sent event with a name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(value))
