"""Answers that are one JSON document with, perhaps, an OpenAI usage object: embeddings, rerank, score, tokenize."""

from __future__ import annotations

import msgspec

from engines.wire.dialect import NOTHING, Finding
from engines.wire.openai_chat.dialect import OpenAIChat
from engines.wire.openai_chat.shapes import decode_counted


class PlainJson(OpenAIChat):
    """OpenAI's errors and usage without its finish reasons."""

    def read_answer(self, body: bytes) -> Finding:
        if b'"usage"' not in body:
            return NOTHING
        try:
            answer = decode_counted(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return NOTHING
        return Finding(usage=answer.usage.normalised()) if answer.usage is not None else NOTHING


DIALECT: PlainJson = PlainJson()
