"""Answers that are one JSON document with, perhaps, an OpenAI usage object: embeddings, rerank, score, tokenize."""

from __future__ import annotations

import msgspec

from engines.wire import refusals
from engines.wire.dialect import NOTHING, Finding
from engines.wire.lone_surrogates import reading
from engines.wire.openai_chat.dialect import OpenAIChat
from engines.wire.openai_chat.shapes import decode_plain, is_truthy
from engines.wire.refusals import ERROR_WITHIN_BYTES


class PlainJson(OpenAIChat):
    """OpenAI's errors and usage without its finish reasons."""

    def read_answer(self, body: bytes) -> Finding:
        if b'"usage"' not in body and body.find(b'"error"', 0, ERROR_WITHIN_BYTES) < 0:
            return NOTHING
        try:
            answer = reading(decode_plain, body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return refusals.stray_error(body) or NOTHING
        if is_truthy(answer.error):
            return refusals.error_finding(body)
        if answer.usage is None:
            return refusals.stray_error(body) or NOTHING
        return Finding(usage=answer.usage.normalised())


DIALECT: PlainJson = PlainJson()
