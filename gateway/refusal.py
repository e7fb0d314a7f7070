"""An engine's error answer, told to a client: as it came where the client can read it, and never what is about us."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING

from engines.wire import ApiError
from gateway.errors import Failure
from routing.breaker import Verdict

if TYPE_CHECKING:
    from engines.model import Operation
    from engines.wire import Dialect
    from gateway.attempt import Attempt
    from routing.outcome import Outcome

ABOUT_US = (401, 402, 403, 407)
"""Our credentials, not the client's: a provider's message may quote part of the key."""


def told(
    attempt: Attempt,
    operation: Operation,
    dialect: Dialect,
    model: str,
    request_id: bytes,
    sentence: Callable[[str], str],
) -> bytes | Failure:
    """The body that a client of `dialect` is told, or the failure of ours that stands in its place.

    `sentence` says of which model, engine and attempt a message is.
    """
    status = attempt.status
    if status in ABOUT_US:
        return Failure("engine_auth", sentence("the engine refused the gateway's credentials"))
    engine = attempt.upstream.engine
    body = b"".join(attempt.error_parts or ())
    for secret in engine.secrets:
        body = body.replace(secret, b"***")
    spoken = engine.dialect(operation)
    said = spoken.read_error(status, body)
    if said.native and spoken is dialect:
        return body
    if not said.native and status in (404, 405):
        # Not about the request: the server behind this engine has no such route for its model.
        what = f"{engine.name} does not speak {operation.value} for this model"
        return Failure("unsupported_operation", f"model {model!r}: engine {what}")
    words = f"the engine answered {status}" + (f": {said.message}" if said.message else "")
    return dialect.error_body(ApiError(sentence(words), said.type, "engine_error"), request_id.decode())


def refusal_headers(attempt: Attempt, outcome: Outcome) -> bytes:
    """The header lines that belong to an engine's refusal."""
    lines = b""
    retry_after_s = attempt.retry_after_s()
    if retry_after_s is not None:
        lines += b"retry-after: %d\r\n" % max(1, ceil(retry_after_s))
    if outcome.verdict is Verdict.FAILURE:
        lines += b"x-should-retry: false\r\n"
    return lines
