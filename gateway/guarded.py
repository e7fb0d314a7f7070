"""What the loop calls by itself of a request: a mistake in it would be logged by the loop, and the client hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from gateway.errors import Failure

log = structlog.get_logger()


class Fails(Protocol):
    """The request: `gateway.flight.Flight`."""

    settled: bool

    def fail(self, failure: Failure) -> None: ...


def guarded(request: Fails, call: Callable[[], None]) -> None:
    """Call; whatever is raised is logged, and ends the request with an error of ours."""
    try:
        call()
    except Exception:
        mistaken(request)


def mistaken(request: Fails) -> None:
    """Log the exception that is being handled, and end the request with an error of ours."""
    log.exception("request_mistaken")  # noqa: LOG004 - only handlers call this
    if not request.settled:
        request.fail(Failure("internal", "the gateway made a mistake with this request"))
