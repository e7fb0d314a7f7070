"""What engines say and are told: plain frozen values, shared by every engine kind and by the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

import msgspec


class Operation(Enum):
    """One inference endpoint of the OpenAI-shaped surface; the value is the path a client calls."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RESPONSES = "/v1/responses"
    MESSAGES = "/v1/messages"
    RERANK = "/v1/rerank"
    SCORE = "/v1/score"
    TOKENIZE = "/tokenize"
    DETOKENIZE = "/detokenize"

    # Members are singletons; Enum's own hash is a Python function, 0.25 us of every look-up on the request path.
    __hash__ = object.__hash__


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts of one answer, normalised to OpenAI's meaning.

    `input_tokens` includes cached ones, `output_tokens` includes reasoning ones
    (Anthropic's own counts exclude the cache; its codec adds them up).
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: Literal["reported", "estimated"] = "reported"

    def merged(self, later: Usage) -> Usage:
        """With a later report of the same answer. Reports are cumulative, but each may leave counts out."""
        return Usage(
            input_tokens=max(self.input_tokens, later.input_tokens),
            output_tokens=max(self.output_tokens, later.output_tokens),
            cached_tokens=max(self.cached_tokens, later.cached_tokens),
            cache_write_tokens=max(self.cache_write_tokens, later.cache_write_tokens),
            reasoning_tokens=max(self.reasoning_tokens, later.reasoning_tokens),
        )


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Bounds on one call, in seconds. `total_s` runs from the send; None means no bound."""

    connect_s: float = 5.0
    first_byte_s: float = 600.0
    idle_s: float = 120.0
    total_s: float | None = None
