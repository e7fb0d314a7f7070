"""What the events, answers and errors of Anthropic Messages mean. See the package's docstring."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.model import OUTPUT, Parts, Units, Usage
from engines.sse import payload
from engines.wire import refusals
from engines.wire.anthropic_messages.shapes import WireUsage, decode_event, decode_message, decode_usage
from engines.wire.dialect import NEVER, NOTHING, ApiError, Dialect, Finding, Reader, Refusal
from engines.wire.lone_surrogates import reading
from engines.wire.odd_counts import both_counts, usage_of
from engines.wire.refusals import is_truthy

_encode = msgspec.json.Encoder().encode

END: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

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
_TYPE_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_NAMED: Final = (b"event: error\n", b"event: error\r", b"event:error\n", b"event:error\r")
"""How an error event begins; one that is named in another way is only told anew."""


def normalised(raw: msgspec.Raw, begins: bool = False) -> Usage | None:
    """None where no count is told. `begins`: it is a stream's first, whose output is not all of it."""
    usage = usage_of(raw, decode_usage, WireUsage, "output_tokens_details", "cache_creation", "server_tool_use")
    if usage is None or (
        usage.input_tokens is None
        and usage.output_tokens is None
        and usage.cache_read_input_tokens is None
        and usage.cache_creation_input_tokens is None
    ):
        return None
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    details, creation = usage.output_tokens_details, usage.cache_creation
    tools = usage.server_tool_use
    searches = (tools.web_search_requests or 0) if tools else 0
    hour = (creation.ephemeral_1h_input_tokens or 0) if creation else 0
    # What is paid by tier or by speed: `standard` is neither.
    tier = usage.speed if usage.speed and usage.speed != "standard" else usage.service_tier
    input_tokens, output_tokens, unsaid = both_counts(usage.input_tokens, usage.output_tokens)
    return Usage(
        input_tokens=input_tokens + read + written,
        output_tokens=output_tokens,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=(details.thinking_tokens or 0) if details else 0,
        tier=tier or "",
        parts=Parts(cache_write_1h_tokens=min(hour, written)) if hour else None,
        units=Units(web_searches=searches) if searches else None,
        unsaid=unsaid | OUTPUT if begins else unsaid,
    )


class MessagesReader(Reader):
    """One stream of named events."""

    __slots__ = ("_finished",)

    def __init__(self) -> None:
        self._finished = False

    @property
    def finished(self) -> bool:
        return self._finished

    def may_matter(self, block: bytes) -> bool:
        return b'"message_' in block or b"event: message_" in block or b"event: error" in block or b'"error"' in block

    def ordinary(self, event: bytes) -> tuple[bytes, bytes]:
        return NEVER  # an event has a line for its name

    def contents(self, block: bytes) -> int:
        return block.count(b'"content_block_delta"')

    def read(self, event: bytes) -> Finding:
        data = payload(event)
        if not data or data.startswith(b"[DONE]"):
            return NOTHING
        try:
            parsed = reading(decode_event, data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            stray = refusals.stray_error(data)
            return NOTHING if stray is None else _restated(stray, event, data)
        if parsed.type == "error" or is_truthy(parsed.error):
            return _restated(refusals.error_finding(data), event, data)
        match parsed.type:
            case "message_start":
                usage = normalised(parsed.message.usage, begins=True) if parsed.message else None
                return Finding(usage=usage, said=parsed.message) if usage else NOTHING
            case "message_delta":
                stop = (parsed.delta.stop_reason if parsed.delta else None) or ""
                if stop:
                    self._finished = True
                return Finding(
                    usage=normalised(parsed.usage),
                    finish_reason=_FINISH.get(stop, stop),
                )
            case "message_stop":
                return Finding(ends=True)
            case _:
                return NOTHING

    def error_event(self, error: ApiError) -> bytes:
        return b"event: error\ndata: " + _encode(_shape(error)) + b"\n\n"


class AnthropicMessages(Dialect):
    """See the package's docstring."""

    @property
    def end_marker(self) -> bytes:
        return END

    def reader(self, choices: int = 1) -> Reader:
        return MessagesReader()

    def with_cost(self, event: bytes, cost_usd: float) -> bytes:
        return event  # no event holds only usage

    def read_answer(self, body: bytes) -> Finding:
        try:
            message = reading(decode_message, body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return refusals.stray_error(body) or NOTHING
        if is_truthy(message.error):
            return refusals.error_finding(body)
        stop, usage = message.stop_reason or "", normalised(message.usage)
        if usage is None and not stop:  # as vLLM once said an error
            return refusals.stray_error(body) or NOTHING
        return Finding(usage=usage, finish_reason=_FINISH.get(stop, stop), said=message)

    def read_error(self, status: int, body: bytes) -> Refusal:
        return refusals.read_error(status, body)

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        return _encode(_shape(error) | {"request_id": request_id})

    def named_error(self, body: bytes, request_id: str) -> bytes:
        said = refusals.decoded(body)
        if not isinstance(said, dict) or said.get("request_id"):  # Anthropic's own is what its support asks for
            return body
        return _encode({"type": "error"} | said | {"request_id": request_id})


def _restated(finding: Finding, event: bytes, data: bytes) -> Finding:
    """With an event that SDKs raise on, where the engine's own is another format's.

    Anthropic's look at an event's name and pass over one that has none: what broke would look whole.
    """
    told = refusals.decoded(data)
    error = told.get("error") if isinstance(told, dict) else None
    said = error if isinstance(error, dict) else {}
    if event.startswith(_NAMED) and isinstance(told, dict) and told.get("type") == "error":
        return finding
    kind = said.get("type")
    if not isinstance(kind, str) or kind not in _ERROR_TYPES:
        kind = _TYPE_OF_STATUS.get(finding.error_status, "api_error")
    restated = b"event: error\ndata: " + _encode(_shape(ApiError(finding.error, kind))) + b"\n\n"
    return Finding(error=finding.error, error_status=finding.error_status, restated=restated)


def _shape(error: ApiError) -> dict[str, object]:
    kind = error.type if error.type in _ERROR_TYPES else "api_error"
    return {"type": "error", "error": {"type": kind, "message": error.message}}


DIALECT: AnthropicMessages = AnthropicMessages()


class Counting(AnthropicMessages):
    """The count of a prompt's tokens: its errors are Anthropic's, and nothing in it is used up."""

    def read_answer(self, body: bytes) -> Finding:
        return refusals.stray_error(body) or NOTHING


COUNTING: Counting = Counting()
