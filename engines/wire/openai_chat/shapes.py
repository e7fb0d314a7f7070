"""What is parsed of a chat answer: of each object the members we act on.

Their defaults are not all literals, so this module is not compiled.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engines.model import Usage
from engines.wire.dialect import Count


class Details(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class WireUsage(msgspec.Struct):
    """The `usage` object; counts that an engine leaves out or sets to null are zero."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None

    def normalised(self) -> Usage:
        """As `Usage`: both conventions agree here, so this only fills the gaps."""
        prompt = self.prompt_tokens
        if prompt is None:
            prompt = max(0, (self.total_tokens or 0) - (self.completion_tokens or 0))
        before, after = self.prompt_tokens_details, self.completion_tokens_details
        return Usage(
            input_tokens=prompt,
            output_tokens=self.completion_tokens or 0,
            cached_tokens=(before.cached_tokens or 0) if before else 0,
            cache_write_tokens=(before.cache_write_tokens or 0) if before else 0,
            reasoning_tokens=(after.reasoning_tokens or 0) if after else 0,
        )


NULL = msgspec.Raw(b"null")
FIRST = msgspec.Raw(b"0")


class Choice(msgspec.Struct):
    finish_reason: str | None = None
    index: msgspec.Raw = FIRST  # whatever it is, it may not hide the reason


class Chunk(msgspec.Struct):
    choices: list[Choice] | None = None
    usage: WireUsage | None = None
    error: msgspec.Raw = NULL  # not `Raw | None`, which takes null alone


class Bare(msgspec.Struct):
    """A chunk whose usage is nothing we understand: it can still say how the stream ends."""

    choices: list[Choice] | None = None
    usage: ClassVar[None] = None
    error: msgspec.Raw = NULL


class Plain(msgspec.Struct):
    """A plain answer of which nothing but the usage and an error is understood: embeddings, rerank, scores, tokens."""

    usage: WireUsage | None = None
    error: msgspec.Raw = NULL


decode_whole = msgspec.json.Decoder(Chunk).decode
decode_plain = msgspec.json.Decoder(Plain).decode
decode_bare = msgspec.json.Decoder(Bare).decode


def decode_chunk(data: bytes) -> Chunk | Bare:
    """One event's object, or a plain answer. Raises as msgspec does."""
    try:
        return decode_whole(data)
    except msgspec.ValidationError:
        return decode_bare(data)


def is_truthy(raw: msgspec.Raw) -> bool:
    """Whether an `error` member says that there is one."""
    return raw is not NULL and bytes(raw) not in (b"null", b"false", b"{}", b'""', b"0")
