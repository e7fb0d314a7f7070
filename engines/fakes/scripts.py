"""What may go wrong on order: `x-fake-script: NAME`, or a model whose name ends in `fake-NAME`.

The model's name is for calls through a gateway, which passes no header of the client's on.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from engines.fakes.problems import Kind, Problem, invalid

HEADER: Final = b"x-fake-script"
MARK: Final = "fake-"


class Script(Enum):
    """The value is its name."""

    BAD_KEY = "bad-key"
    FORBIDDEN = "forbidden"
    NO_MODEL = "no-model"
    TOO_LONG = "too-long"
    RATE_LIMITED = "rate-limited"
    NO_MONEY = "no-money"
    TIMED_OUT = "timed-out"
    OVERLOADED = "overloaded"
    FAILED = "failed"
    BLOCKED = "blocked"
    """A filter stops the prompt; some providers tell that as an answer."""

    ERROR_MID_STREAM = "error-mid-stream"
    """The provider's error, half-way through the content of a stream."""
    OVERLOADED_MID_STREAM = "overloaded-mid-stream"
    TRUNCATED = "truncated"
    """The connection is closed inside an event; a plain answer is cut in its middle."""
    STALLED = "stalled"
    """Half-way through a stream, and before a plain answer, nothing more comes until the client leaves."""
    UNFINISHED = "unfinished"
    """The body ends properly, and the reason why it ended is missing."""
    UNKNOWN_EVENT = "unknown-event"
    """An event of a type that no documentation has, amid the content."""
    UNKNOWN_FINISH = "unknown-finish"
    """It ends for a reason that no documentation has."""
    PINGS = "pings"
    """Whatever the format has for keeping a connection open, before and amid the content."""
    REFUSAL = "refusal"
    FILTERED = "filtered"
    BROKEN_CALL = "broken-call"
    """It ends because the model wrote a tool call that cannot be read, where the format has a word for that."""
    INTERLEAVED = "interleaved"
    """Reasoning, text, reasoning, text and then calls of every tool there is."""
    LONG = "long"
    """An answer of 200 words."""


REFUSED: Final = {
    Script.BAD_KEY: (Kind.UNAUTHENTICATED, "The key is not valid."),
    Script.FORBIDDEN: (Kind.FORBIDDEN, "The key may not use this model."),
    Script.NO_MODEL: (Kind.NOT_FOUND, "The model does not exist."),
    Script.TOO_LONG: (Kind.TOO_LONG, "The prompt is too long: 300000 tokens > 200000 maximum."),
    Script.RATE_LIMITED: (Kind.RATE_LIMITED, "Too many requests."),
    Script.NO_MONEY: (Kind.NO_MONEY, "The account has no credit left."),
    Script.TIMED_OUT: (Kind.TIMED_OUT, "The request took too long."),
    Script.OVERLOADED: (Kind.OVERLOADED, "The service is overloaded."),
    Script.FAILED: (Kind.FAILED, "Internal error."),
    Script.BLOCKED: (Kind.BLOCKED, "The prompt is blocked by the content policy."),
}
"""Those that end a request before it began."""


def script_of(header: str, model: str) -> Script | None:
    """The script that a request asks for; None for none. Raises Problem for one that there is not."""
    name = header or (model.rpartition(MARK)[2] if MARK in model else "")
    if not name:
        return None
    try:
        return Script(name)
    except ValueError:
        known = ", ".join(script.value for script in Script)
        raise invalid(f"There is no script {name!r}. Known: {known}.") from None


def refuse(script: Script | None) -> None:
    """Raises the Problem that the script is, if it is one."""
    if script is not None and script in REFUSED:
        kind, message = REFUSED[script]
        raise Problem(kind, message, retry_after_s=2.0 if kind in (Kind.RATE_LIMITED, Kind.OVERLOADED) else None)
