"""OpenAI Responses (openai-python types/responses).

A stream is named events whose JSON repeats the name as `type`. It ends in `response.completed`, `.incomplete` or
`.failed`, which carry the whole response and its usage, or in an `error` event. There is no `[DONE]`.
"""

from __future__ import annotations

import msgspec

from engines.model import Usage
from engines.sse import payload
from engines.wire import openai_chat
from engines.wire.format import NOTHING, ApiError, Count, Finding

_encode = msgspec.json.Encoder().encode


class _Details(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None

    def normalised(self) -> Usage:
        before, after = self.input_tokens_details, self.output_tokens_details
        return Usage(
            input_tokens=self.input_tokens or 0,
            output_tokens=self.output_tokens or 0,
            cached_tokens=(before.cached_tokens or 0) if before else 0,
            cache_write_tokens=(before.cache_write_tokens or 0) if before else 0,
            reasoning_tokens=(after.reasoning_tokens or 0) if after else 0,
        )


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Error(msgspec.Struct):
    message: str | None = None


class _Response(msgspec.Struct):
    status: str | None = None
    usage: _Usage | None = None
    incomplete_details: _Incomplete | None = None
    error: _Error | None = None


class _Event(msgspec.Struct):
    type: str = ""
    response: _Response | None = None
    message: str | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_response = msgspec.json.Decoder(_Response).decode


def _finding(response: _Response) -> Finding:
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


class OpenAIResponses:
    """See the module's docstring."""

    end_marker = b""

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

    def read_event(self, event: bytes) -> Finding:
        data = payload(event)
        if not data or data.startswith(b"[DONE]"):
            return NOTHING
        try:
            parsed = _decode_event(data)
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
        return _finding(parsed.response)

    def read_answer(self, body: bytes) -> Finding:
        try:
            return _finding(_decode_response(body))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return NOTHING

    def error_event(self, error: ApiError) -> bytes:
        event = {"type": "error", "code": error.code or error.type, "message": error.message, "param": error.param}
        return b"event: error\ndata: " + _encode(event) + b"\n\n"

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        return openai_chat.FORMAT.error_body(error, request_id)


FORMAT: OpenAIResponses = OpenAIResponses()
