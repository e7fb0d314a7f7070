"""What the events and answers of operations on sound and pictures mean. See the package's docstring."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from engines.model import Units, Usage
from engines.sse import payload
from engines.wire import refusals
from engines.wire.dialect import NOTHING, Finding, Reader
from engines.wire.lone_surrogates import reading
from engines.wire.odd_counts import both_counts, usage_of
from engines.wire.openai_chat.dialect import ChatReader, OpenAIChat, parts_of
from engines.wire.openai_chat.shapes import MOST_SECONDS
from engines.wire.openai_media.shapes import WireUsage, decode_answer, decode_seconds, decode_usage
from engines.wire.refusals import ERROR_WITHIN_BYTES, is_truthy

LAST: Final = frozenset(
    {"transcript.text.done", "speech.audio.done", "image_generation.completed", "image_edit.completed"}
)
"""The types of events that end a stream."""
_LAST: Final = (b"transcript.text.done", b"speech.audio.done", b".completed")
_DELTA: Final = b"transcript.text.delta"
_ONLY: Final = frozenset({b"0"})
_DETAILS: Final = ("input_token_details", "input_tokens_details", "output_tokens_details")


def usage_in(raw: msgspec.Raw) -> Usage | None:
    """What a `usage` member tells: tokens, or seconds of sound. None where it tells neither."""
    told = usage_of(raw, decode_usage, WireUsage, *_DETAILS)
    if told is None:
        return None
    before = told.input_tokens if told.input_tokens is not None else told.prompt_tokens
    after = told.output_tokens if told.output_tokens is not None else told.completion_tokens
    heard = told.seconds or 0.0
    if not 0.0 < heard <= MOST_SECONDS:
        heard = 0.0
    units = Units(heard) if heard else None
    if before is None and after is None:
        return None if units is None else Usage(0, 0, units=units)
    details = told.input_tokens_details or told.input_token_details
    made = told.output_tokens_details
    parts = parts_of(details, made) if details or made else None
    cached = (details.cached_tokens or 0) if details else 0
    input_tokens, output_tokens, unsaid = both_counts(before, after, told.total_tokens)
    return Usage(input_tokens, output_tokens, cached, 0, 0, "reported", "", parts, units, unsaid)


class MediaReader(ChatReader):
    """One stream, of events with a type or of chunks."""

    __slots__ = ("_done",)

    def __init__(self, choices: int = 1) -> None:
        super().__init__(choices)
        self._done = False

    @property
    def finished(self) -> bool:
        # Not by a chunk's reason: vLLM transcribes a long sound in pieces, each of which has one.
        return self._done

    def may_matter(self, block: bytes) -> bool:
        return super().may_matter(block) or any(mark in block for mark in _LAST)

    def contents(self, block: bytes) -> int:
        return super().contents(block) + block.count(_DELTA)

    def read(self, event: bytes) -> Finding:
        data = payload(event)
        if any(mark in data for mark in _LAST):
            try:
                told = reading(decode_answer, data)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                return NOTHING
            if told.type in LAST:
                self._done = True
                return Finding(usage_in(told.usage), "stop", _ONLY, said=told)
        return super().read(event)


class OpenAIMedia(OpenAIChat):
    """See the package's docstring."""

    @property
    def end_marker(self) -> bytes:
        return b""

    def reader(self, choices: int = 1) -> Reader:
        return MediaReader()

    def with_cost(self, event: bytes, cost_usd: float) -> bytes:
        return event

    def read_answer(self, body: bytes) -> Finding:
        if b'"usage"' not in body and body.find(b'"error"', 0, ERROR_WITHIN_BYTES) < 0:
            return _unsaid(body)
        try:
            answer = reading(decode_answer, body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return refusals.stray_error(body) or NOTHING
        if is_truthy(answer.error):
            return refusals.error_finding(body)
        usage = usage_in(answer.usage)
        if usage is None:
            if refusals.begins_an_error(body[:ERROR_WITHIN_BYTES]):  # as vLLM once said one
                return refusals.error_finding(body)
            usage = _unsaid(body).usage
        return Finding(usage, said=answer)


_PICTURE: Final = re.compile(rb'"(?:b64_json|url)":[ \t\r\n]*"')


def _unsaid(body: bytes) -> Finding:
    """What an answer without usage shows all the same: how long the sound was (`verbose_json`), or pictures."""
    if body.startswith(b"{"):
        if b'"duration"' in body:
            try:
                heard = decode_seconds(reading(decode_answer, body).duration)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                return NOTHING
            return Finding(Usage(0, 0, units=Units(heard))) if heard else NOTHING
        # Neither can be in a string, which has its quotes escaped. One of a picture has but one of them;
        # the other is left out, or null.
        images = len(_PICTURE.findall(body))
        if images:
            return Finding(Usage(0, 0, units=Units(images=images)))
    return NOTHING


DIALECT: OpenAIMedia = OpenAIMedia()
SPEECH: OpenAIMedia = OpenAIMedia()
"""Its answer is a sound, which passes as it comes."""
