"""OpenAI chat and legacy completions (openai-python types/chat, types/completion_usage.py; vLLM speaks the same).

A stream is `data: {json}` events; content chunks have `finish_reason: null`, then one with the reason, then (when
asked by `stream_options.include_usage`) one with `choices: []` and the usage, then `data: [DONE]`. An object with a
truthy `error` is how the SDKs are told that a stream failed.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engines.model import Usage
from engines.sse import payload
from engines.wire.format import NOTHING, ApiError, Count, Finding

DONE = b"data: [DONE]\n\n"


class _Details(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class WireUsage(msgspec.Struct):
    """The `usage` object; counts that an engine leaves out or sets to null are zero."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None

    def normalised(self) -> Usage:
        """As `Usage`: both conventions agree here, so this only fills the gaps."""
        prompt = self.prompt_tokens
        if prompt is None:
            prompt = max(0, (self.total_tokens or 0) - (self.completion_tokens or 0))
        before, after = self.prompt_tokens_details, self.completion_tokens_details
        return Usage(
            input_tokens=prompt,
            output_tokens=self.completion_tokens or 0,
            cached_tokens=(before.cached_tokens or 0) if before else 0,
            cache_write_tokens=(before.cache_write_tokens or 0) if before else 0,
            reasoning_tokens=(after.reasoning_tokens or 0) if after else 0,
        )


_NULL = msgspec.Raw(b"null")
_FIRST = msgspec.Raw(b"0")


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    index: msgspec.Raw = _FIRST  # whatever it is, it may not hide the reason


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    error: msgspec.Raw = _NULL  # not `Raw | None`, which takes null alone


class _Bare(msgspec.Struct):
    """A chunk whose usage is nothing we understand: it can still say how the stream ends."""

    choices: list[_Choice] | None = None
    usage: ClassVar[None] = None
    error: msgspec.Raw = _NULL


class ErrorObject(msgspec.Struct):
    """What we read of OpenAI's error object, as engines send it."""

    message: str | None = None
    code: str | int | None = None


_decode_whole = msgspec.json.Decoder(_Chunk).decode
_decode_bare = msgspec.json.Decoder(_Bare).decode
_decode_error = msgspec.json.Decoder(ErrorObject).decode
_encode = msgspec.json.Encoder().encode


def error_finding(raw: bytes | msgspec.Raw) -> Finding:
    """What an `error` member says, whatever its shape. vLLM puts the HTTP status in `code`."""
    try:
        error = _decode_error(raw)
    except msgspec.DecodeError:
        return Finding(error="the engine reported an error")
    status = error.code if isinstance(error.code, int) and 400 <= error.code < 600 else 0
    return Finding(error=error.message or "the engine reported an error", error_status=status)


def _decode_chunk(data: bytes) -> _Chunk | _Bare:
    try:
        return _decode_whole(data)
    except msgspec.ValidationError:
        return _decode_bare(data)


def _is_truthy(raw: msgspec.Raw) -> bool:
    return raw is not _NULL and bytes(raw) not in (b"null", b"false", b"{}", b'""', b"0")


class OpenAIChat:
    """See the module's docstring."""

    end_marker = DONE

    def may_matter(self, block: bytes) -> bool:
        # An ordinary chunk says `"finish_reason":null`. JSON strings escape their quotes, so none of these bytes can
        # be content.
        return (
            b'"finish_reason":"' in block
            or b'"usage":{' in block
            or b'"error":' in block
            or b"[DONE]" in block
            or b'": ' in block  # spaced JSON: let the parser decide
        )

    def ordinary_tail(self, event: bytes) -> bytes:
        # The end of the last choice and of the object: `"finish_reason":null}]}` and the like. What could matter is in
        # a chunk whose last choice has a reason, or in one without choices; neither ends like this.
        at = event.rfind(b'"finish_reason":null')
        return event[at:] if at >= 0 and event.endswith(b"}\n\n") else b""

    def read_event(self, event: bytes) -> Finding:
        data = payload(event)
        if data.startswith(b"[DONE]"):
            return Finding(ends=True)
        if not data:
            return NOTHING
        try:
            chunk = _decode_chunk(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return NOTHING
        if _is_truthy(chunk.error):
            return error_finding(chunk.error)
        reason = ""
        finished = set()
        for choice in chunk.choices or ():
            if choice.finish_reason:
                reason = choice.finish_reason
                finished.add(bytes(choice.index))
        usage = chunk.usage.normalised() if chunk.usage is not None else None
        if not reason and usage is None:
            return NOTHING
        usage_only = usage is not None and not chunk.choices
        return Finding(usage=usage, finish_reason=reason, finished=frozenset(finished), usage_only=usage_only)

    def read_answer(self, body: bytes) -> Finding:
        try:
            answer = _decode_chunk(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return NOTHING
        if _is_truthy(answer.error):
            return error_finding(answer.error)
        choices = answer.choices
        return Finding(
            usage=answer.usage.normalised() if answer.usage is not None else None,
            finish_reason=(choices[0].finish_reason or "") if choices else "",
        )

    def error_event(self, error: ApiError) -> bytes:
        return b"data: " + self.error_body(error, "") + b"\n\n"

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        shape = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
        return _encode({"error": shape})


FORMAT: OpenAIChat = OpenAIChat()
