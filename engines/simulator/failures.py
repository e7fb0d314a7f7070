"""The ways a simulated server fails on purpose, and when.

Drawing is pure (`rng` is an argument), so a routing comparison in virtual time can fail the same share of requests
as a live server does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import Enum


class FailureKind(Enum):
    """One way to fail. The first six are answers; the others are broken ones."""

    RATE_LIMIT = "rate_limit"
    """429 with Retry-After."""
    INVALID_API_KEY = "invalid_api_key"
    CONTEXT_LENGTH = "context_length"
    MODEL_NOT_FOUND = "model_not_found"
    SERVER_ERROR = "server_error"
    OVERLOAD = "overload"
    """503, as vLLM's full queue."""
    HANG = "hang"
    """Nothing is ever answered, not even headers."""
    DISCONNECT = "disconnect"
    """Closed when the first token is due; a stream's headers have gone by then, as vLLM's have."""
    DISCONNECT_MID_STREAM = "disconnect_mid_stream"
    """Closed half-way through the tokens; a plain answer is closed half-way through its body."""
    STREAM_ERROR = "stream_error"
    """An error event half-way, then the stream's normal end marker, as vLLM does. A plain answer becomes a 500."""
    TRUNCATED = "truncated"
    """A stream that ends half-way without finish reason or end marker. A plain answer has a null finish reason."""
    MALFORMED = "malformed"
    """JSON that does not parse: one event half-way through a stream, or the whole plain body."""


HTTP_ERRORS: dict[FailureKind, tuple[int, str, str]] = {
    FailureKind.RATE_LIMIT: (429, "RateLimitError", "Rate limit reached (simulated failure)."),
    FailureKind.INVALID_API_KEY: (401, "AuthenticationError", "Incorrect API key provided (simulated failure)."),
    FailureKind.CONTEXT_LENGTH: (
        400,
        "BadRequestError",
        "This model's maximum context length is exceeded (simulated failure).",
    ),
    FailureKind.MODEL_NOT_FOUND: (404, "NotFoundError", "The model does not exist (simulated failure)."),
    FailureKind.SERVER_ERROR: (500, "InternalServerError", "Internal server error (simulated failure)."),
    FailureKind.OVERLOAD: (503, "ServiceUnavailableError", "The server is overloaded (simulated failure)."),
}
"""Status, error type and message of the failures that are plain HTTP answers."""


def draw(rate: float, kinds: Sequence[FailureKind], rng: random.Random) -> FailureKind | None:
    """The failure of the next request, or None: `rate` is a share from 0 to 1; no kinds named means any."""
    if rate <= 0 or rng.random() >= rate:
        return None
    return rng.choice(kinds or tuple(FailureKind))
