"""What the events, answers and errors of OpenAI Responses mean. See the package's docstring."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.sse import payload
from engines.wire import openai_chat, refusals
from engines.wire.dialect import NOTHING, ApiError, Finding, Reader, Refusal
from engines.wire.openai_responses.shapes import Response, decode_event, decode_response

_encode = msgspec.json.Encoder().encode


def _finding(response: Response) -> Finding:
    usage = response.usage.normalised() if response.usage is not None else None
    if response.status == "failed":
        return Finding(usage=usage, error=(response.error and response.error.message) or "the engine reported an error")
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details else None
        return Finding(
            usage=usage, finish_reason="content_filter" if reason == "content_filter" else "length", ends=True
        )
    if response.status == "completed":
        return Finding(usage=usage, finish_reason="stop", ends=True)
    return Finding(usage=usage, finish_reason=response.status or "")


class ResponsesReader:
    """One stream of named events."""

    __slots__ = ("_finished",)

    def __init__(self) -> None:
        self._finished = False

    @property
    def finished(self) -> bool:
        return self._finished

    def may_matter(self, block: bytes) -> bool:
        return (
            b"response.completed" in block
            or b"response.incomplete" in block
            or b"response.failed" in block
            or b"event: error" in block
            or b'"error"' in block
        )

    def ordinary_tail(self, event: bytes) -> bytes:
        return b""  # the kind of an event is said at its start

    def read(self, event: bytes) -> Finding:
        data = payload(event)
        if not data or data.startswith(b"[DONE]"):
            return NOTHING
        try:
            parsed = decode_event(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return NOTHING
        if parsed.type == "error":
            return Finding(error=parsed.message or "the engine reported an error")
        if parsed.response is None or parsed.type not in (
            "response.completed",
            "response.incomplete",
            "response.failed",
        ):
            return NOTHING
        # vLLM says `response.completed` of an answer cut by its length, whose status is "incomplete".
        if parsed.type != "response.completed" or parsed.response.status not in ("incomplete", "failed"):
            parsed.response.status = parsed.type.removeprefix("response.")
        finding = _finding(parsed.response)
        if finding.finish_reason:
            self._finished = True
        return finding

    def error_event(self, error: ApiError) -> bytes:
        event = {"type": "error", "code": error.code or error.type, "message": error.message, "param": error.param}
        return b"event: error\ndata: " + _encode(event) + b"\n\n"


class OpenAIResponses:
    """See the package's docstring."""

    end_marker: Final = b""

    def reader(self, choices: int = 1) -> Reader:
        return ResponsesReader()

    def with_cost(self, event: bytes, cost_usd: float) -> bytes:
        return event  # no event holds only usage

    def read_answer(self, body: bytes) -> Finding:
        try:
            return _finding(decode_response(body))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return NOTHING

    def read_error(self, status: int, body: bytes) -> Refusal:
        return refusals.read_error(status, body)

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        return openai_chat.DIALECT.error_body(error, request_id)


DIALECT: OpenAIResponses = OpenAIResponses()
