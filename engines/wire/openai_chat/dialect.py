"""What the events, answers and errors of OpenAI chat mean. See the package's docstring."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from engines.model import INPUT, OUTPUT, Parts, Units, Usage
from engines.sse import payload
from engines.wire import refusals
from engines.wire.dialect import NEVER, NO_CHOICES, NOTHING, ApiError, Dialect, Finding, Reader, Refusal
from engines.wire.lone_surrogates import reading
from engines.wire.odd_counts import usage_of
from engines.wire.openai_chat.shapes import (
    MOST_SECONDS,
    Choice,
    Chunk,
    Details,
    Odd,
    WireUsage,
    decode_choices,
    decode_odd,
    decode_usage,
    decode_whole,
)
from engines.wire.refusals import is_truthy

_usage_begins = re.compile(rb'("usage"\s*:\s*\{\s*)"').sub
_CHOICES: Final = b'"choices":[{'
DONE: Final = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


def error_body(error: ApiError) -> bytes:
    """OpenAI's error object."""
    shape = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return _encode({"error": shape})


def normalised(usage: WireUsage, tier: str | None = None) -> Usage | None:
    """Both conventions agree here, so this only fills the gaps. DeepSeek says what its cache had. None where no count
    is told."""
    prompt, completion, hit = usage.prompt_tokens, usage.completion_tokens, usage.prompt_cache_hit_tokens or 0
    unsaid = 0
    if prompt is None or completion is None:
        total, miss = usage.total_tokens, usage.prompt_cache_miss_tokens
        if prompt is None:
            if completion is None and total is None and miss is None and usage.prompt_cache_hit_tokens is None:
                return None
            prompt = hit + (miss or 0)
            if miss is None or not prompt:
                prompt = max(prompt, (total or 0) - (completion or 0))
                unsaid = INPUT if prompt == hit else 0  # of a total that is no more nothing is the prompt's
        if completion is None:
            completion = max(0, (total or 0) - prompt)
            if not completion:  # a total that is the prompt's says as little
                unsaid |= OUTPUT
    before, after = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(  # by position: of names, an interpreted call makes a dict first
        prompt,
        completion,
        ((before.cached_tokens or 0) if before else 0) or hit,
        (before.cache_write_tokens or 0) if before else 0,
        (after.reasoning_tokens or 0) if after else 0,
        "reported",
        tier or "",
        parts_of(before, after) if before or after else None,
        units_of(usage),
        unsaid,
    )


def units_of(usage: WireUsage) -> Units | None:
    """Searches, as OpenRouter and Perplexity tell them, and seconds of sound, as Mistral does."""
    tools, heard = usage.server_tool_use, usage.prompt_audio_seconds
    if tools is None and heard is None and usage.num_search_queries is None:
        return None
    searches = usage.num_search_queries or ((tools.web_search_requests or 0) if tools else 0)
    seconds = float(heard) if isinstance(heard, (int, float)) and 0 < heard <= MOST_SECONDS else 0.0
    return Units(seconds, web_searches=searches) if searches or seconds else None


def parts_of(before: Details | None, after: Details | None) -> Parts | None:
    """Of the details of input and output; Responses has the same."""
    audio = image = cached_audio = cached_image = 0
    if before is not None:
        audio, image = before.audio_tokens or 0, before.image_tokens or 0
        cached = before.cached_tokens_details
        if cached is not None:
            cached_audio, cached_image = cached.audio_tokens or 0, cached.image_tokens or 0
    made_audio = made_image = 0
    if after is not None:
        made_audio, made_image = after.audio_tokens or 0, after.image_tokens or 0
    if audio or image or made_audio or made_image or cached_audio or cached_image:
        return Parts(audio, image, made_audio, made_image, cached_audio, cached_image)
    return None


def odd_usage_of(odd: Odd) -> WireUsage | None:
    return usage_of(odd.usage, decode_usage, WireUsage, "prompt_tokens_details", "completion_tokens_details")


def _decode_chunk(data: bytes) -> Chunk:
    """One event's object, or a plain answer; what is odd in it reads as if it were left out. Raises as msgspec does."""
    try:
        return decode_whole(data)
    except msgspec.ValidationError:
        odd = decode_odd(data)
    try:
        choices = decode_choices(odd.choices)
    except msgspec.ValidationError:
        choices = [Choice()]  # something that is no usage event
    return Chunk(choices=choices, usage=odd_usage_of(odd), error=odd.error)


def _odd_usage(data: bytes) -> Finding:
    """Of a chunk without choices: a usage that is none is still nobody's who did not ask."""
    return Finding(usage_only=True) if bytes(reading(decode_odd, data).usage) != b"null" else NOTHING


def _stray_error(data: bytes) -> Finding | None:
    """The error in an event of no shape that a chunk has, with an event that SDKs raise on: they look for an `error`
    member, and what broke would look whole (FastChat's `{"object": "error"}`, a list around Gemini's)."""
    finding = refusals.stray_error(data)
    if finding is None:
        return None
    told = refusals.decoded(data)
    if isinstance(told, dict) and told.get("error"):
        return finding
    status = finding.error_status
    said = refusals.read_error(status or 500, data)
    error = ApiError(finding.error, refusals.error_type(status or 500), said.code or None)
    restated = b"data: " + error_body(error) + b"\n\n"
    return Finding(error=finding.error, error_status=status, restated=restated)


class ChatReader(Reader):
    """One stream of chunks."""

    __slots__ = ("_choices", "_finished")

    def __init__(self, choices: int) -> None:
        self._choices = choices
        self._finished: set[bytes] = set()

    @property
    def finished(self) -> bool:
        return len(self._finished) >= self._choices

    def may_matter(self, block: bytes) -> bool:
        # An ordinary chunk says `"finish_reason":null`. JSON strings escape their quotes, so none of these bytes can
        # be content.
        return (
            b'"finish_reason":"' in block
            or b'"usage":{' in block
            or b'"choices":[]' in block  # the usage event, whatever its usage is
            or b'"choices":null' in block
            or b'"error"' in block
            or b"[DONE]" in block
            or b'": ' in block  # spaced JSON: let the parser decide
        )

    def ordinary(self, event: bytes) -> tuple[bytes, bytes]:
        # The object up to its choices, and from the reason of the last one to its end: `"finish_reason":null}]}` and
        # the like. What could matter would be in either, as long as a chunk has one choice.
        choices, reason = event.find(_CHOICES), event.rfind(b'"finish_reason":null')
        if self._choices > 1 or not 0 <= choices < reason or not event.startswith(b"data: {"):
            return NEVER
        return event[: choices + len(_CHOICES)], event[reason:]

    def contents(self, block: bytes) -> int:
        nothing = block.count(b'"content":""') + block.count(b'"delta":{}') + block.count(b'"choices":[]')
        return max(0, block.count(b'"choices"') - nothing)

    def read(self, event: bytes) -> Finding:
        data = payload(event)
        if data.startswith(b"[DONE]"):
            return Finding(ends=True)
        if not data:
            return NOTHING
        try:
            chunk = reading(_decode_chunk, data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return _stray_error(data) or NOTHING
        if is_truthy(chunk.error):
            return refusals.error_finding(data)
        reason = ""
        finished: set[bytes] = set()
        for choice in chunk.choices or ():
            if choice.finish_reason:
                reason = choice.finish_reason
                finished.add(bytes(choice.index))
        if finished:
            self._finished |= finished
        usage = normalised(chunk.usage, chunk.service_tier) if chunk.usage is not None else None
        if not reason and usage is None:
            return NOTHING if chunk.choices else _stray_error(data) or _odd_usage(data)
        usage_only = usage is not None and not chunk.choices
        return Finding(usage, reason, frozenset(finished), "", 0, b"", False, usage_only, chunk)

    def error_event(self, error: ApiError) -> bytes:
        return b"data: " + error_body(error) + b"\n\n"


class OpenAIChat(Dialect):
    """See the package's docstring."""

    @property
    def end_marker(self) -> bytes:
        return DONE

    def reader(self, choices: int = 1) -> Reader:
        return ChatReader(choices)

    def with_cost(self, event: bytes, cost_usd: float) -> bytes:
        told = b'"cost_usd":%b,' % repr(cost_usd).encode()
        return _usage_begins(lambda begins: begins[1] + told + b'"', event, 1)

    def read_answer(self, body: bytes) -> Finding:
        try:
            answer = reading(_decode_chunk, body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return refusals.stray_error(body) or NOTHING
        if is_truthy(answer.error):
            return refusals.error_finding(body)
        choices, usage = answer.choices, answer.usage
        if choices is None and usage is None:
            return refusals.stray_error(body) or NOTHING
        return Finding(  # by position, as usage
            normalised(usage, answer.service_tier) if usage is not None else None,
            (choices[0].finish_reason or "") if choices else "",
            NO_CHOICES,
            "",
            0,
            b"",
            False,
            False,
            answer,
        )

    def read_error(self, status: int, body: bytes) -> Refusal:
        return refusals.read_error(status, body)

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        return error_body(error)


DIALECT: OpenAIChat = OpenAIChat()
