"""Anthropic Messages (anthropic types/*, _streaming.py), which vLLM also serves.

A stream is message_start (with the input's usage), content blocks, message_delta (stop_reason and cumulative usage)
and message_stop; `ping` and `error` may come at any time. Usage counts exclude what the cache served, so we add it.
"""

from __future__ import annotations

import msgspec

from engines.model import Usage
from engines.sse import payload
from engines.wire.format import NOTHING, ApiError, Count, Finding

_encode = msgspec.json.Encoder().encode

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_ERROR_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "overloaded_error",
}


class _OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens_details: _OutputDetails | None = None

    def normalised(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        details = self.output_tokens_details
        return Usage(
            input_tokens=(self.input_tokens or 0) + read + written,
            output_tokens=self.output_tokens or 0,
            cached_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=(details.thinking_tokens or 0) if details else 0,
        )


class _Message(msgspec.Struct):
    usage: _Usage | None = None
    stop_reason: str | None = None


class _Error(msgspec.Struct):
    message: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    delta: _Message | None = None
    usage: _Usage | None = None
    error: _Error | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_message = msgspec.json.Decoder(_Message).decode


class AnthropicMessages:
    """See the module's docstring."""

    end_marker = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

    def may_matter(self, block: bytes) -> bool:
        return b'"message_' in block or b"event: message_" in block or b"event: error" in block or b'"error"' in block

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
        match parsed.type:
            case "message_start":
                usage = parsed.message.usage if parsed.message else None
                return Finding(usage=usage.normalised()) if usage else NOTHING
            case "message_delta":
                stop = (parsed.delta.stop_reason if parsed.delta else None) or ""
                usage = parsed.usage
                return Finding(
                    usage=usage.normalised() if usage else None,
                    finish_reason=_FINISH.get(stop, stop),
                )
            case "message_stop":
                return Finding(ends=True)
            case "error":
                return Finding(error=(parsed.error and parsed.error.message) or "the engine reported an error")
            case _:
                return NOTHING

    def read_answer(self, body: bytes) -> Finding:
        try:
            message = _decode_message(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return NOTHING
        stop = message.stop_reason or ""
        return Finding(
            usage=message.usage.normalised() if message.usage is not None else None,
            finish_reason=_FINISH.get(stop, stop),
        )

    def error_event(self, error: ApiError) -> bytes:
        return b"event: error\ndata: " + _encode(_shape(error)) + b"\n\n"

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        return _encode(_shape(error) | {"request_id": request_id})


def _shape(error: ApiError) -> dict[str, object]:
    kind = error.type if error.type in _ERROR_TYPES else "api_error"
    return {"type": "error", "error": {"type": kind, "message": error.message}}


FORMAT: AnthropicMessages = AnthropicMessages()
