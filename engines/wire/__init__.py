"""Wire formats: what a stream's events, a plain answer and an error mean, one package per format.

I want to ... read a new format's usage, ending and errors / edit: a package here, and `DIALECTS` below /
test: tests/engines/wire. In each package `shapes.py` holds what is parsed and `dialect.py` what it means.
"""

from engines.model import Operation
from engines.wire import anthropic_messages, openai_chat, openai_media, openai_responses, plain_json
from engines.wire.dialect import ApiError, Dialect, Finding, Reader, Refusal

DIALECTS: dict[Operation, Dialect] = {
    Operation.CHAT: openai_chat.DIALECT,
    Operation.COMPLETIONS: openai_chat.DIALECT,
    Operation.RESPONSES: openai_responses.DIALECT,
    Operation.RESPONSE: openai_responses.STORED,
    Operation.RESPONSE_CANCEL: openai_responses.STORED,
    Operation.MESSAGES: anthropic_messages.DIALECT,
    Operation.COUNT_TOKENS: anthropic_messages.COUNTING,
    Operation.EMBEDDINGS: plain_json.DIALECT,
    Operation.RERANK: plain_json.DIALECT,
    Operation.SCORE: plain_json.DIALECT,
    Operation.POOLING: plain_json.DIALECT,
    Operation.CLASSIFY: plain_json.DIALECT,
    Operation.TOKENIZE: plain_json.DIALECT,
    Operation.DETOKENIZE: plain_json.DIALECT,
    Operation.TRANSCRIPTIONS: openai_media.DIALECT,
    Operation.TRANSLATIONS: openai_media.DIALECT,
    Operation.SPEECH: openai_media.SPEECH,
    Operation.IMAGES: openai_media.DIALECT,
    Operation.IMAGE_EDITS: openai_media.DIALECT,
}

__all__ = ["DIALECTS", "ApiError", "Dialect", "Finding", "Reader", "Refusal"]
