"""What the relay needs to know of a wire format, and nothing more.

An ordinary event passes unread. `may_matter` is the cheap question, asked of every block; only a block that says yes
is split and its events parsed. A format must never say no to a block that holds usage, a finish reason, an error or
its end marker; it may say yes too often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec

from engines.model import Usage

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""Tokens. Counters that add these up never go backwards and fit every format they are written in."""


class Finding(msgspec.Struct, frozen=True):
    """What one event (or one plain answer) says besides content."""

    usage: Usage | None = None
    finish_reason: str = ""
    finished: frozenset[bytes] = frozenset()
    """Of a format with several choices: the indices of those that the reason is for."""
    error: str = ""
    """The engine's own message, when the event is an error."""
    error_status: int = 0
    """The HTTP status it would have had, where the engine says so."""
    ends: bool = False
    """The event is the format's success marker."""
    usage_only: bool = False
    """The event carries usage and nothing a client did not ask for."""


NOTHING = Finding()


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error in OpenAI's terms; each format says it in its own shape."""

    message: str
    type: str
    code: str | None = None
    param: str | None = None


class WireFormat(Protocol):
    """One wire format, both as a stream of events and as a plain answer."""

    @property
    def end_marker(self) -> bytes:
        """What we add after a finished stream whose engine left its own marker out; empty where we never may."""

    def may_matter(self, block: bytes) -> bool:
        """Whether the block of whole events can hold anything but ordinary content."""

    def ordinary_tail(self, event: bytes) -> bytes:
        """How an event must end, this one not having mattered, for none that ends so and has no other before it to
        matter either; empty when no ending can promise that."""

    def read_event(self, event: bytes) -> Finding:
        """Read one event, its blank line included. Malformed events read as NOTHING."""

    def read_answer(self, body: bytes) -> Finding:
        """Read a plain 2xx answer."""

    def error_event(self, error: ApiError) -> bytes:
        """The event that tells a client of this format that its stream has failed."""

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        """The same for a plain answer."""
