"""Why a request failed, in the words of whoever said it: for the access line, where somebody looks for the cause.

Promise: no secret of ours, at most `MOST_LETTERS`. An engine's words may repeat a little of what it was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engines.model import Operation
    from gateway.attempt import Attempt

MOST_LETTERS: Final = 300
MOST_NAMED: Final = 128
"""Letters of a model's name that nobody has configured."""
CREDENTIALS: Final = "the engine refused the gateway's credentials"
"""In place of its own words, which may quote a part of the key."""


def in_short(words: str) -> str:
    """On one line, cut where it is long."""
    text = " ".join(words[: 4 * MOST_LETTERS].split())
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3] + "..."


def spelt(name: str) -> str:
    """A name that a client made up, in short; what cannot be printed is written as Python writes it."""
    written = repr(name[:MOST_NAMED])[1:-1]
    return written if len(written) <= MOST_NAMED and len(name) <= MOST_NAMED else written[: MOST_NAMED - 3] + "..."


def reason_of(attempt: Attempt, operation: Operation) -> str:
    """What the engine of a failed attempt said, or what happened to the call."""
    parts = attempt.error_parts
    if parts is None:
        return in_short(attempt.message)
    if attempt.status in (401, 403):
        return CREDENTIALS
    engine = attempt.upstream.engine
    body = b"".join(parts)
    for secret in engine.secrets:
        body = body.replace(secret, b"***")
    return in_short(engine.dialect(operation).read_error(attempt.status, body).message or attempt.message)
