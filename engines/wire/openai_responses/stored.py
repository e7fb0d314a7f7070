"""What an engine says of a response that it keeps. It was accounted for when it was made, so nothing of it counts here:
a response that has failed is not a failed call, and its usage is not used again.
"""

from __future__ import annotations

import msgspec

from engines.wire import refusals
from engines.wire.dialect import NOTHING, ApiError, Dialect, Finding, Reader, Refusal
from engines.wire.lone_surrogates import reading
from engines.wire.openai_responses.dialect import DIALECT as MADE
from engines.wire.openai_responses.dialect import ResponsesReader
from engines.wire.openai_responses.shapes import decode_response


class StoredReader(Reader):
    """The events of a response that is followed from somewhere in its middle."""

    __slots__ = ("_reader",)

    def __init__(self) -> None:
        self._reader = ResponsesReader()

    @property
    def finished(self) -> bool:
        return self._reader.finished

    def may_matter(self, block: bytes) -> bool:
        return self._reader.may_matter(block)

    def ordinary(self, event: bytes) -> tuple[bytes, bytes]:
        return self._reader.ordinary(event)

    def contents(self, block: bytes) -> int:
        return 0

    def read(self, event: bytes) -> Finding:
        found = self._reader.read(event)
        if not found.error:
            return Finding(finish_reason=found.finish_reason, ends=found.ends) if found.ends else NOTHING
        if b"response.failed" in event:
            return Finding(finish_reason="failed", ends=True)
        return Finding(error=found.error, error_status=found.error_status, restated=found.restated)

    def error_event(self, error: ApiError) -> bytes:
        return self._reader.error_event(error)


class StoredResponses(Dialect):
    """See the module."""

    @property
    def end_marker(self) -> bytes:
        return b""

    def reader(self, choices: int = 1) -> Reader:
        return StoredReader()

    def with_cost(self, event: bytes, cost_usd: float) -> bytes:
        return event

    def read_answer(self, body: bytes) -> Finding:
        try:
            response = reading(decode_response, body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return refusals.stray_error(body) or NOTHING
        if response.id:
            return NOTHING
        return refusals.stray_error(body) or NOTHING  # an error in a 200, and no response

    def read_error(self, status: int, body: bytes) -> Refusal:
        return MADE.read_error(status, body)

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        return MADE.error_body(error, request_id)


STORED: StoredResponses = StoredResponses()
