"""Log probabilities, made up: of a piece always the same, and the likeliest where there are others."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

MOST: Final = 20
"""Alternatives of one token that are told."""


def logprob(piece: str) -> float:
    """Between -2 and 0."""
    return -(zlib.crc32(piece.encode("utf-8", "surrogatepass")) % 2000) / 1000


def of_chat(pieces: Sequence[str], alternatives: int) -> dict[str, Any]:
    """As a choice of a chat holds them."""
    return {
        "content": [{**_token(piece, logprob(piece)), "top_logprobs": _top(piece, alternatives)} for piece in pieces]
    }


def of_text(prompt: Sequence[str], pieces: Sequence[str], alternatives: int) -> dict[str, Any]:
    """As a choice of a completion holds them. `prompt` is what was echoed; its first token follows nothing."""
    texts = [*prompt, *pieces]
    offsets, at = [], 0
    for text in texts:
        offsets.append(at)
        at += len(text)
    values: list[float | None] = [logprob(text) for text in texts]
    top: list[dict[str, float] | None] = [
        {one["token"]: one["logprob"] for one in _top(text, max(1, alternatives))} for text in texts
    ]
    if prompt:
        values[0] = top[0] = None
    return {"text_offset": offsets, "token_logprobs": values, "tokens": texts, "top_logprobs": top}


def _top(piece: str, count: int) -> list[dict[str, Any]]:
    own = logprob(piece)
    others = [_token(f"{piece}{number}", own - number) for number in range(1, min(count, MOST))]
    return [_token(piece, own), *others] if count > 0 else []


def _token(piece: str, value: float) -> dict[str, Any]:
    return {"token": piece, "logprob": value, "bytes": list(piece.encode("utf-8", "replace"))}
