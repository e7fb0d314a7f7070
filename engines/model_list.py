"""The answer to `GET /v1/models`, as far as anybody acts on it: the names, and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

MOST_TOKENS: Final = 2**53
LAST_S: Final = 253_402_300_799
"""The end of the year 9999: no calendar goes on."""
MOST_LETTERS: Final = 128


@dataclass(frozen=True, slots=True)
class ListedModel:
    """What an engine says of one model. What it leaves out, or says oddly, is zero or empty."""

    created: int = 0
    """Unix seconds; vLLM's are those of its start."""
    owned_by: str = ""
    max_model_len: int = 0
    """Tokens of prompt and answer together."""


def models_in(body: bytes) -> Mapping[str, ListedModel] | None:
    """Those that the list holds, by name, in its order; None when it is no such list."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    listed = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        return None
    return {one["id"]: _said(one) for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str)}


def _said(one: dict[str, Any]) -> ListedModel:
    owner = one.get("owned_by")
    owned_by = owner if isinstance(owner, str) and len(owner) <= MOST_LETTERS and owner.isprintable() else ""
    return ListedModel(_count(one.get("created"), LAST_S), owned_by, _count(one.get("max_model_len"), MOST_TOKENS))


def _count(value: object, most: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most else 0
