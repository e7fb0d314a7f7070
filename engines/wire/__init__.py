"""Wire formats: what a stream's events mean, one module per format.

I want to ... read a new format's usage, ending and errors / edit: a module here, and `FORMATS` below /
test: tests/engines/wire.
"""

from engines.model import Operation
from engines.wire import anthropic_messages, openai_chat, openai_responses, plain_json
from engines.wire.format import ApiError, Finding, WireFormat

FORMATS: dict[Operation, WireFormat] = {
    Operation.CHAT: openai_chat.FORMAT,
    Operation.COMPLETIONS: openai_chat.FORMAT,
    Operation.RESPONSES: openai_responses.FORMAT,
    Operation.MESSAGES: anthropic_messages.FORMAT,
    Operation.EMBEDDINGS: plain_json.FORMAT,
    Operation.RERANK: plain_json.FORMAT,
    Operation.SCORE: plain_json.FORMAT,
    Operation.TOKENIZE: plain_json.FORMAT,
    Operation.DETOKENIZE: plain_json.FORMAT,
}

__all__ = ["FORMATS", "ApiError", "Finding", "WireFormat"]
