"""What the gateway needs to know of a wire format, and nothing more; whatever is particular to one is in its package.

A request has two: the client's and the engine's. They are the same one where bytes pass as they came.

An ordinary event passes unread. `may_matter` is the cheap question, asked of every block; only a block that says yes
is split and its events read. A reader must never say no to a block that holds usage, a finish reason, an error or
its end marker; it may say yes too often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Protocol

import msgspec

from engines.model import Usage
from engines.wire.said import Said

Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
"""Tokens: a trillion in one answer is no count. Those that add these up never go backwards nor overflow, and fit every
format they are written in."""
NO_CHOICES: Final[frozenset[bytes]] = frozenset()


class Finding:
    """What one event (or one plain answer) says besides content. Immutable; a plain class for `Usage`'s reason."""

    __slots__ = (
        "ends",
        "error",
        "error_status",
        "finish_reason",
        "finished",
        "response_id",
        "restated",
        "said",
        "usage",
        "usage_only",
    )

    def __init__(
        self,
        usage: Usage | None = None,
        finish_reason: str = "",
        finished: frozenset[bytes] = NO_CHOICES,
        error: str = "",
        error_status: int = 0,
        restated: bytes = b"",
        ends: bool = False,
        usage_only: bool = False,
        said: Said | None = None,
        response_id: str = "",
    ) -> None:
        self.usage: Final = usage
        self.finish_reason: Final = finish_reason
        self.finished: Final = finished
        """Of a format with several choices: the indices of those that the reason is for."""
        self.error: Final = error
        """The engine's own message, when the event (or the answer) is an error."""
        self.error_status: Final = error_status
        """The HTTP status that the error names, where it names one."""
        self.restated: Final = restated
        """The event as a client of the format must see it, where the engine left out what makes its readers stop."""
        self.ends: Final = ends
        """The event is the format's success marker."""
        self.usage_only: Final = usage_only
        """The event carries usage and nothing a client did not ask for."""
        self.said: Final = said
        """Of an event, or answer, with usage or a finish reason: what it says of the answer as a whole. No part of what
        makes two findings equal."""
        self.response_id: Final = response_id
        """What the answer can be asked for by later, where its engine may keep it."""

    def _parts(self) -> tuple[object, ...]:
        return (
            self.usage,
            self.finish_reason,
            self.finished,
            self.error,
            self.error_status,
            self.restated,
            self.ends,
            self.usage_only,
            self.response_id,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Finding) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        return f"Finding{self._parts()!r}"


NOTHING: Final = Finding()
NEVER: Final = (b"\0", b"\0")
"""How no event begins or ends."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error in OpenAI's terms; each format says it in its own shape."""

    message: str
    type: str
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer of an engine, as far as it can be understood."""

    message: str
    """What it says, shortened; empty when it says nothing that can be read."""
    type: str
    code: str = ""
    native: bool = False
    """Whether its body has the shape that clients of the format read, so that it may pass as it is."""


class Reader(Protocol):
    """Reads the events of one stream, in order, and remembers what its format makes the end depend on."""

    __slots__ = ()

    @property
    def finished(self) -> bool:
        """Whether the engine has said how each choice that was asked for ends."""

    def may_matter(self, block: bytes) -> bool:
        """Whether the block of whole events can hold anything but ordinary content."""

    def ordinary(self, event: bytes) -> tuple[bytes, bytes]:
        """How an event must begin and end, this one not having mattered, for none of a single line that does so to
        matter either, each of them one piece of content; `NEVER` when no head and tail can promise that."""

    def contents(self, block: bytes) -> int:
        """About how many pieces of content a block of events has, to estimate an unreported usage by."""

    def read(self, event: bytes) -> Finding:
        """Read one event, its blank line included. Malformed events read as NOTHING."""

    def error_event(self, error: ApiError) -> bytes:
        """The event that tells a client of this format that its stream has failed, after what was read so far."""


class Dialect(Protocol):
    """One wire format, both as a stream of events and as a plain answer."""

    __slots__ = ()

    @property
    def end_marker(self) -> bytes:
        """What we add after a finished stream whose engine left its own marker out; empty where we never may."""

    def reader(self, choices: int = 1) -> Reader:
        """A reader for one stream, to a request that asked for so many choices."""

    def with_cost(self, event: bytes, cost_usd: float) -> bytes:
        """An event that holds only usage, with the price of the answer in it where the format has a place for it."""

    def read_answer(self, body: bytes) -> Finding:
        """Read a plain 2xx answer."""

    def read_error(self, status: int, body: bytes) -> Refusal:
        """Read an error answer."""

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        """What tells a client of this format of an error, in a plain answer."""

    def named_error(self, body: bytes, request_id: str) -> bytes:
        """An engine's own error of this format, with the request's id in it where clients look for it there."""
        return body
