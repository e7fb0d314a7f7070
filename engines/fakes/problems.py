"""Why a fake refuses or fails, in no provider's words; each says it in its own shape and with its own status."""

from __future__ import annotations

import re
from enum import Enum


class Kind(Enum):
    """What went wrong."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not found"
    TOO_LONG = "too long"
    """The prompt does not fit the model."""
    BLOCKED = "blocked"
    """A filter stops the prompt."""
    TOO_LARGE = "too large"
    """The body does not fit the server."""
    RATE_LIMITED = "rate limited"
    NO_MONEY = "no money"
    TIMED_OUT = "timed out"
    OVERLOADED = "overloaded"
    FAILED = "failed"


class Problem(Exception):
    """A request is refused."""

    def __init__(self, kind: Kind, message: str, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.param = param
        """The member of the request that is wrong."""
        self.retry_after_s = retry_after_s


def invalid(message: str, param: str | None = None) -> Problem:
    """The request is wrong."""
    return Problem(Kind.INVALID, message, param)


_UNKNOWN = re.compile(r"contains unknown field `([^`]*)`")
_AT = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")


def undecodable(error: Exception) -> Problem:
    """The problem that a decoder found: its path names the member."""
    text = str(error)
    found = [match[1] for match in (_AT.search(text), _UNKNOWN.search(text)) if match is not None]
    return invalid(f"Invalid request: {text}", ".".join(filter(None, found)) or None)
