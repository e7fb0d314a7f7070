"""Mooncake traces (FAST'25, github.com/kvcache-ai/Mooncake): a JSON object per line.

`{"timestamp": 27482, "input_length": 1255, "output_length": 52, "hash_ids": [46, 47, 2353]}`: milliseconds, tokens, and
an id per block of 512 prompt tokens. An id stands for its block and all before it, so equal leading ids mean an equal
prefix. Fewer ids than blocks are taken as they are: the rest of the prompt is the request's own.
"""

from __future__ import annotations

from typing import Annotated, TextIO

import msgspec
from msgspec import Meta

from loadtests.traces.trace import MAX_LINE_CHARS, MAX_TOKENS, Rows, Trace

Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]


class _Line(msgspec.Struct):
    timestamp: Annotated[float, Meta(ge=0, lt=1e12)]
    input_length: Tokens
    output_length: Tokens
    hash_ids: tuple[Annotated[int, Meta(ge=0)], ...] = ()


_EXPECTED = "a JSON object with timestamp (ms), input_length, output_length and hash_ids"


def read(file: TextIO, rows: Rows, block_tokens: int) -> Trace:
    """Read the rows. Raises TraceError."""
    decoder = msgspec.json.Decoder(_Line)
    number = 0
    while text := file.readline(MAX_LINE_CHARS):
        number += 1
        if not text.strip():
            continue
        try:
            line = decoder.decode(text.removeprefix("\ufeff"))
        except msgspec.DecodeError as error:
            raise rows.refuse(number, str(error), _EXPECTED) from None
        blocks = -(-line.input_length // block_tokens)
        if len(line.hash_ids) > blocks:
            raise rows.refuse(
                number,
                f"{len(line.hash_ids)} hash_ids for {line.input_length} tokens",
                f"at most one per {block_tokens} tokens, so {blocks}",
            )
        rows.add(number, round(line.timestamp * 1e6), line.input_length, line.output_length, line.hash_ids)
    return rows.done(number)
