"""What is parsed of a chat answer: of each object the members we act on.

Their defaults are not all literals, so this module is not compiled.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engines.wire.dialect import Count
from engines.wire.refusals import NULL
from engines.wire.said import Said

MOST_SECONDS: Final = 10**7
"""A third of a year: no sound in one request is longer."""


class CachedDetails(msgspec.Struct):
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class Details(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    cached_tokens_details: CachedDetails | None = None


class ServerTools(msgspec.Struct):
    web_search_requests: Count | None = None


class WireUsage(msgspec.Struct):
    """The `usage` object; of its parts, what an engine leaves out or sets to null is zero."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    prompt_cache_hit_tokens: Count | None = None
    prompt_cache_miss_tokens: Count | None = None
    server_tool_use: ServerTools | None = None
    num_search_queries: Count | None = None
    prompt_audio_seconds: float | dict[str, Any] | None = None  # Mistral's of no sound is an empty object


FIRST = msgspec.Raw(b"0")


class Choice(msgspec.Struct):
    finish_reason: str | None = None
    index: msgspec.Raw = FIRST  # whatever it is, it may not hide the reason


class Chunk(Said):
    choices: list[Choice] | None = None
    usage: WireUsage | None = None
    error: msgspec.Raw = NULL  # not `Raw | None`, which takes null alone


class Odd(msgspec.Struct):
    """A chunk with something odd in it: each member is read for itself."""

    choices: msgspec.Raw = NULL
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


class Plain(Said):
    """A plain answer of which nothing but the usage and an error is understood: embeddings, rerank, scores, tokens."""

    usage: WireUsage | None = None
    error: msgspec.Raw = NULL


decode_whole = msgspec.json.Decoder(Chunk).decode
decode_whole_plain = msgspec.json.Decoder(Plain).decode
decode_odd = msgspec.json.Decoder(Odd).decode
decode_choices = msgspec.json.Decoder(list[Choice] | None).decode
decode_usage = msgspec.json.Decoder(WireUsage | None).decode
