"""Answers that are one JSON document with, perhaps, an OpenAI usage object: embeddings, rerank, score, tokenize."""

from __future__ import annotations

import msgspec

from engines.wire import refusals
from engines.wire.dialect import NOTHING, Finding
from engines.wire.lone_surrogates import reading
from engines.wire.openai_chat.dialect import OpenAIChat, normalised, odd_usage_of
from engines.wire.openai_chat.shapes import Plain, decode_odd, decode_whole_plain
from engines.wire.refusals import ERROR_WITHIN_BYTES, is_truthy


def _decode_plain(data: bytes) -> Plain:
    """An answer without choices; what is odd in its usage reads as if it were left out. Raises as msgspec does."""
    try:
        return decode_whole_plain(data)
    except msgspec.ValidationError:
        odd = decode_odd(data)
    return Plain(usage=odd_usage_of(odd), error=odd.error)


class PlainJson(OpenAIChat):
    """OpenAI's errors and usage without its finish reasons."""

    def read_answer(self, body: bytes) -> Finding:
        if b'"usage"' not in body and body.find(b'"error"', 0, ERROR_WITHIN_BYTES) < 0:
            return NOTHING
        try:
            answer = reading(_decode_plain, body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return refusals.stray_error(body) or NOTHING
        if is_truthy(answer.error):
            return refusals.error_finding(body)
        usage = answer.usage
        if usage is None:
            return refusals.stray_error(body) or NOTHING
        if usage.completion_tokens is None and (usage.prompt_tokens is not None or usage.total_tokens is not None):
            usage.completion_tokens = 0  # it says no word
        return Finding(normalised(usage, answer.service_tier), said=answer)


DIALECT: PlainJson = PlainJson()
