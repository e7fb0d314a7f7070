"""What an answer says, in no format's words: the one thing that all formats are read into and written from.

A stream is `Start? (Text | Refused | Reasoning | ToolStart ToolArgs* | Counted | Ping)* Finish Counted? End`, and a
plain answer is the same events at once. `Failed` may come at any time and is the last thing that counts.

A stream without a `Finish` is no answer, whatever else it says. There are four reasons to finish, OpenAI's; what a
format says beyond them is in the `Finish` too. A reason or an event that its format's table does not have is a
`Failed`, never a `stop`.
"""

from __future__ import annotations

from typing import Final

from engines.model import Usage

STOP: Final = "stop"
LENGTH: Final = "length"
TOOL_CALLS: Final = "tool_calls"
CONTENT_FILTER: Final = "content_filter"


class Event:
    """One of the below; immutable, and compared by what it says."""

    __slots__ = ()

    def parts(self) -> tuple[object, ...]:
        """What it says, in the order of its arguments."""
        return ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and type(self) is type(other) and self.parts() == other.parts()

    def __hash__(self) -> int:
        return hash(self.parts())

    def __repr__(self) -> str:
        return type(self).__name__ + repr(self.parts())


class Start(Event):
    """The answer has begun; empty where the engine does not say."""

    __slots__ = ("id", "model")

    def __init__(self, id: str, model: str) -> None:
        self.id: Final = id
        self.model: Final = model

    def parts(self) -> tuple[object, ...]:
        return (self.id, self.model)


class Text(Event):
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text: Final = text

    def parts(self) -> tuple[object, ...]:
        return (self.text,)


class Refused(Event):
    """What the model says in place of an answer, where its format tells that from text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text: Final = text

    def parts(self) -> tuple[object, ...]:
        return (self.text,)


class Reasoning(Event):
    """A piece of what the model thinks. One with a signature, or that is redacted, ends its block."""

    __slots__ = ("origin", "redacted", "signature", "text")

    def __init__(self, text: str, signature: str = "", redacted: str = "", origin: str = "") -> None:
        """`signature` and `redacted` must come back unchanged to whoever made them: `origin`, a format's name."""
        self.text: Final = text
        self.signature: Final = signature
        self.redacted: Final = redacted
        self.origin: Final = origin

    def parts(self) -> tuple[object, ...]:
        return (self.text, self.signature, self.redacted, self.origin)


class ToolStart(Event):
    """A call begins. Calls are numbered from 0 in the order in which they begin. `id` is empty where the engine gives
    none: what stands in its place is the client's format's."""

    __slots__ = ("id", "index", "name", "signature")

    def __init__(self, index: int, id: str, name: str, signature: str = "") -> None:
        """`signature` is Gemini's `thoughtSignature`, which it wants back with the call."""
        self.index: Final = index
        self.id: Final = id
        self.name: Final = name
        self.signature: Final = signature

    def parts(self) -> tuple[object, ...]:
        return (self.index, self.id, self.name, self.signature)


class ToolArgs(Event):
    """More of the JSON text of a call's arguments."""

    __slots__ = ("index", "text")

    def __init__(self, index: int, text: str) -> None:
        self.index: Final = index
        self.text: Final = text

    def parts(self) -> tuple[object, ...]:
        return (self.index, self.text)


class Counted(Event):
    """The usage so far. Each report replaces what it repeats."""

    __slots__ = ("usage",)

    def __init__(self, usage: Usage) -> None:
        self.usage: Final = usage

    def parts(self) -> tuple[object, ...]:
        return (self.usage,)


class Ping(Event):
    """The engine says that it is still there."""

    __slots__ = ()


class Finish(Event):
    """How the answer ends."""

    __slots__ = ("reason", "stop_sequence")

    def __init__(self, reason: str, stop_sequence: str = "") -> None:
        """`stop_sequence`: the one of the request's that ended it, where the engine says."""
        self.reason: Final = reason
        self.stop_sequence: Final = stop_sequence

    def parts(self) -> tuple[object, ...]:
        return (self.reason, self.stop_sequence)


class Failed(Event):
    """The engine says that the answer has failed, or says what nobody here understands."""

    __slots__ = ("message", "status", "unknown")

    def __init__(self, message: str, status: int = 0, unknown: str = "") -> None:
        """`status`: the HTTP status that it stands for, 0 where it names none. `unknown`: what was not understood."""
        self.message: Final = message
        self.status: Final = status
        self.unknown: Final = unknown

    def parts(self) -> tuple[object, ...]:
        return (self.message, self.status, self.unknown)


class End(Event):
    """The engine's own mark that its stream is whole."""

    __slots__ = ()


def unknown_finish(reason: object) -> Failed:
    """A reason that the format's table does not have."""
    return Failed(f"the engine finished for a reason that is not known: {str(reason)[:64]!r}", 0, "finish_reason")


def unknown_event(kind: object) -> Failed:
    """An event, or a part of one, that the format does not have."""
    return Failed(f"the engine sent an event that is not known: {str(kind)[:64]!r}", 0, "event")
