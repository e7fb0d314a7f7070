"""What the events, answers and errors of OpenAI Responses mean. See the package's docstring."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from engines.model import Units, Usage
from engines.sse import payload
from engines.wire import openai_chat, refusals
from engines.wire.dialect import NEVER, NOTHING, ApiError, Dialect, Finding, Reader, Refusal
from engines.wire.lone_surrogates import reading
from engines.wire.odd_counts import both_counts, usage_of
from engines.wire.openai_responses.shapes import (
    Response,
    WireUsage,
    decode_event,
    decode_response,
    decode_searching,
    decode_searching_event,
    decode_usage,
)
from engines.wire.refusals import is_truthy

_encode = msgspec.json.Encoder().encode


_sequence_numbers = re.compile(rb'"sequence_number":\s*(\d{1,15})[,}\s]').findall


def _units(data: bytes) -> Units | None:
    """Searches of the tools that the response called. A page that was opened, or looked through, is none."""
    if b"_search_call" not in data:
        return None
    try:
        found = reading(decode_searching_event, data).response or reading(decode_searching, data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    web = files = 0
    for item in found.output or ():
        if item.type == "web_search_call":
            web += item.action is None or item.action.type in (None, "search")
        elif item.type == "file_search_call":
            files += 1
    return Units(web_searches=web, file_searches=files) if web or files else None


def _usage(response: Response, data: bytes) -> Usage | None:
    usage = usage_of(response.usage, decode_usage, WireUsage, "input_tokens_details", "output_tokens_details")
    if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
        return None
    before, after = usage.input_tokens_details, usage.output_tokens_details
    input_tokens, output_tokens, unsaid = both_counts(usage.input_tokens, usage.output_tokens, usage.total_tokens)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=(before.cached_tokens or 0) if before else 0,
        cache_write_tokens=(before.cache_write_tokens or 0) if before else 0,
        reasoning_tokens=(after.reasoning_tokens or 0) if after else 0,
        tier=response.service_tier or "",
        parts=openai_chat.parts_of(before, after),
        units=_units(data),
        unsaid=unsaid,
    )


_is_id = re.compile(r"[A-Za-z0-9_.-]{1,256}").fullmatch
"""An id that fits into a path. Nobody's has other letters."""


def _id(response: Response) -> str:
    found = response.id
    return found if found and _is_id(found) else ""


def _finding(response: Response, data: bytes) -> Finding:
    """What the response says that `data`, an event or a plain answer, holds."""
    usage, response_id = _usage(response, data), _id(response)
    if response.status == "failed" or is_truthy(response.error):
        said = refusals.error_finding(data)
        return Finding(usage=usage, error=said.error, error_status=said.error_status, said=response)
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details else None
        return Finding(
            usage=usage,
            finish_reason="content_filter" if reason == "content_filter" else "length",
            ends=True,
            response_id=response_id,
            said=response,
        )
    if response.status == "completed":
        return Finding(usage=usage, finish_reason="stop", ends=True, response_id=response_id, said=response)
    return Finding(usage=usage, finish_reason=response.status or "", response_id=response_id, said=response)


class ResponsesReader(Reader):
    """One stream of named events."""

    __slots__ = ("_begun", "_earlier", "_finished", "_last", "_number")

    def __init__(self) -> None:
        self._begun = False
        self._finished = False
        self._last = self._earlier = b""
        """The last two blocks that were no comments: they have the last sequence number, should it be wanted."""
        self._number = -1
        """The last one in an event that was read."""

    @property
    def finished(self) -> bool:
        return self._finished

    def may_matter(self, block: bytes) -> bool:
        if not block.startswith(b":"):
            self._earlier, self._last = self._last, block
            if not self._begun:
                self._begun = True
                if b"response.created" in block:  # it tells the response's id
                    return True
        return (
            b"response.completed" in block
            or b"response.incomplete" in block
            or b"response.failed" in block
            or b"event: error" in block
            or b'"error"' in block
        )

    def ordinary(self, event: bytes) -> tuple[bytes, bytes]:
        return NEVER  # an event has a line for its name

    def contents(self, block: bytes) -> int:
        return block.count(b'.delta"')

    def read(self, event: bytes) -> Finding:
        self._number = max(self._number, _last_number(event))
        data = payload(event)
        if not data or data.startswith(b"[DONE]"):
            return NOTHING
        try:
            parsed = reading(decode_event, data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return refusals.stray_error(data) or NOTHING
        if parsed.type == "error" or (not parsed.type and is_truthy(parsed.error)):
            return self._restated(refusals.error_finding(data), data)
        if parsed.response is not None and parsed.type == "response.created":
            return Finding(response_id=_id(parsed.response))
        if parsed.response is None or parsed.type not in (
            "response.completed",
            "response.incomplete",
            "response.failed",
        ):
            return NOTHING
        # vLLM says `response.completed` of an answer cut by its length, whose status is "incomplete".
        if parsed.type != "response.completed" or parsed.response.status not in ("incomplete", "failed"):
            parsed.response.status = parsed.type.removeprefix("response.")
        finding = _finding(parsed.response, data)
        if finding.finish_reason:
            self._finished = True
        return finding

    def error_event(self, error: ApiError) -> bytes:
        return error_event(error, self._next_number())

    def _next_number(self) -> int:
        return 1 + max(self._number, _last_number(self._earlier), _last_number(self._last))

    def _restated(self, finding: Finding, data: bytes) -> Finding:
        """With an event that SDKs raise on, where the engine's own has only the fields of the specification.

        Iterating openai-python, langchain.js and pydantic-ai stop at a truthy `error` member, and at nothing else.
        """
        told = refusals.decoded(data)
        if not isinstance(told, dict):
            return finding
        nested = told.get("error")
        if isinstance(nested, dict) and nested and "sequence_number" in told and told.get("type"):
            return finding
        flat = nested if isinstance(nested, dict) and nested else told
        said = {key: flat.get(key) for key in ("code", "message", "param")}
        kind = flat.get("type")
        said["type"] = (
            kind if isinstance(kind, str) and kind != "error" else refusals.error_type(finding.error_status or 500)
        )
        said["message"] = said["message"] or finding.error
        number = told.get("sequence_number")
        restated = _error_event(said, number if isinstance(number, int) else self._next_number())
        return Finding(error=finding.error, error_status=finding.error_status, restated=restated)


class OpenAIResponses(Dialect):
    """See the package's docstring."""

    @property
    def end_marker(self) -> bytes:
        return b""

    def reader(self, choices: int = 1) -> Reader:
        return ResponsesReader()

    def with_cost(self, event: bytes, cost_usd: float) -> bytes:
        return event  # no event holds only usage

    def read_answer(self, body: bytes) -> Finding:
        try:
            response = reading(decode_response, body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return refusals.stray_error(body) or NOTHING
        finding = _finding(response, body)
        if finding.usage is None and not finding.error and not finding.finish_reason:  # as vLLM once said an error
            return refusals.stray_error(body) or finding
        return finding

    def read_error(self, status: int, body: bytes) -> Refusal:
        return refusals.read_error(status, body)

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        return openai_chat.DIALECT.error_body(error, request_id)


def _last_number(block: bytes) -> int:
    """The last sequence number in a block of events; -1 where it has none."""
    numbers = _sequence_numbers(block)
    return int(numbers[-1]) if numbers else -1


def error_event(error: ApiError, number: int) -> bytes:
    """The event of this sequence number that tells a client that its stream has failed."""
    code = error.code or error.type
    return _error_event({"type": error.type, "code": code, "message": error.message, "param": error.param}, number)


def _error_event(said: dict[str, Any], number: int) -> bytes:
    """The flat fields of the specification, and the `error` member that SDKs look for."""
    error = {key: said[key] for key in ("type", "code", "message", "param")}
    event = {"type": "error", "code": said["code"], "message": said["message"], "param": said["param"]}
    return b"event: error\ndata: " + _encode(event | {"sequence_number": number, "error": error}) + b"\n\n"


DIALECT: OpenAIResponses = OpenAIResponses()
