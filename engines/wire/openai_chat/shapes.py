"""What is parsed of a chat answer: of each object the members we act on.

Their defaults are not all literals, so this module is not compiled.
"""

from __future__ import annotations

import msgspec

from engines.model import Usage
from engines.wire.dialect import Count
from engines.wire.odd_counts import counts_of


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
    prompt_cache_hit_tokens: Count | None = None
    prompt_cache_miss_tokens: Count | None = None

    def normalised(self) -> Usage:
        """As `Usage`: both conventions agree here, so this only fills the gaps. DeepSeek says what its cache had."""
        prompt, hit = self.prompt_tokens, self.prompt_cache_hit_tokens or 0
        if prompt is None:
            prompt = hit + (self.prompt_cache_miss_tokens or 0)
            prompt = prompt or max(0, (self.total_tokens or 0) - (self.completion_tokens or 0))
        before, after = self.prompt_tokens_details, self.completion_tokens_details
        return Usage(
            input_tokens=prompt,
            output_tokens=self.completion_tokens or 0,
            cached_tokens=((before.cached_tokens or 0) if before else 0) or hit,
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


class Odd(msgspec.Struct):
    """A chunk with something odd in it: each member is read for itself."""

    choices: msgspec.Raw = NULL
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


class Plain(msgspec.Struct):
    """A plain answer of which nothing but the usage and an error is understood: embeddings, rerank, scores, tokens."""

    usage: WireUsage | None = None
    error: msgspec.Raw = NULL


decode_whole = msgspec.json.Decoder(Chunk).decode
decode_whole_plain = msgspec.json.Decoder(Plain).decode
decode_odd = msgspec.json.Decoder(Odd).decode
decode_choices = msgspec.json.Decoder(list[Choice] | None).decode


def decode_chunk(data: bytes) -> Chunk:
    """One event's object, or a plain answer; what is odd in it reads as if it were left out. Raises as msgspec does."""
    try:
        return decode_whole(data)
    except msgspec.ValidationError:
        odd = decode_odd(data)
    try:
        choices = decode_choices(odd.choices)
    except msgspec.ValidationError:
        choices = [Choice()]  # something that is no usage event
    return Chunk(choices, _usage_of(odd), odd.error)


def decode_plain(data: bytes) -> Plain:
    """An answer without choices; what is odd in its usage reads as if it were left out. Raises as msgspec does."""
    try:
        return decode_whole_plain(data)
    except msgspec.ValidationError:
        odd = decode_odd(data)
    return Plain(_usage_of(odd), odd.error)


def _usage_of(odd: Odd) -> WireUsage | None:
    counts = counts_of(odd.usage, "prompt_tokens_details", "completion_tokens_details")
    return None if counts is None else msgspec.convert(counts, WireUsage)


def is_truthy(raw: msgspec.Raw) -> bool:
    """Whether an `error` member says that there is one."""
    return raw is not NULL and bytes(raw) not in (b"null", b"false", b"{}", b'""', b"0")
