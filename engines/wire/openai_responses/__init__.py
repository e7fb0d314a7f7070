"""OpenAI Responses (openai-python types/responses).

A stream is named events whose JSON repeats the name as `type`. It ends in `response.completed`, `.incomplete` or
`.failed`, which carry the whole response and its usage, or in an `error` event. There is no `[DONE]`.
"""

from engines.wire.openai_responses.dialect import DIALECT
from engines.wire.openai_responses.stored import STORED

__all__ = ["DIALECT", "STORED"]
