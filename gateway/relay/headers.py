"""The headers of an answer: which of the engine's are the client's business, and the gateway's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.telemetry.time_stamp import milliseconds

if TYPE_CHECKING:
    from engines.port import Headers
    from gateway.attempt import Attempt
    from routing.experiments.experiment import Assignment

PASSED: Final = frozenset(
    {
        b"content-type",
        b"openai-processing-ms",
        b"openai-version",
        b"openai-organization",
        b"content-encoding",
    }
)
"""`x-ratelimit-*` and `anthropic-ratelimit-*` are too. Its id of the request is not: clients are told ours by that name
(`gateway.record_ids`)."""
USUAL: Final = frozenset({b"date", b"server", b"content-length", b"transfer-encoding", b"connection", b"vary"})
"""What nearly every engine sends and no client of ours should see; only spares a search. Nor is the load that we ask an
engine for (`endpoint-load-metrics`) any client's business."""


EVENT_STREAM: Final = b"text/event-stream"
PROBLEM: Final = b"application/problem+json"
"""An error by its name (RFC 9457), whatever the status of the answer and whichever members it has."""


def is_stream(media_type: bytes, begun: bool) -> bool:
    """Whether an answer of this type to a request for a stream is read as one. Behind comments that have left, all is
    but a document that says so: it may still be an error, which is then told inside the stream."""
    if begun:
        return media_type[:16].lower() != b"application/json"
    return media_type[:17].lower() == EVENT_STREAM


def media_type(headers: Headers) -> bytes:
    """What the answer says it is, in small letters and without parameters; empty where it says nothing."""
    for name, value in headers:
        if name == b"content-type":
            return value.lower().partition(b";")[0].rstrip()
    return b""


def passed_headers(headers: Headers) -> bytes:
    """The engine's headers that go to the client, as a block."""
    block = b""
    for name, value in headers:
        if name not in USUAL and (name in PASSED or b"ratelimit-" in name):
            block += b"%b: %b\r\n" % (name, value)
    return block


def own_headers(
    named: bytes, assignment: Assignment | None, attempt: Attempt | None, attempts: int, overhead_s: float
) -> bytes:
    """The gateway's own, as a block, after the lines that name the request: its arm, where it has one, and the attempt
    that answers, the last of so many."""
    arm = b"" if assignment is None else assignment.line
    if attempt is None:
        return named + arm
    # The values stand beside the format: compiled, it is put together in C only then.
    return b"%b%b%bx-penstock-attempts: %d\r\nx-penstock-overhead-ms: %b\r\n" % (
        named,
        arm,
        attempt.upstream.headers,
        attempts,
        milliseconds(overhead_s),
    )
