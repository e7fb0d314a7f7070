"""The answer to `GET /v1/models`, as far as anybody acts on it: the names."""

from __future__ import annotations

import msgspec


def model_names(body: bytes) -> tuple[str, ...] | None:
    """The ids that the list holds, in its order; None when it is no such list."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    listed = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        return None
    return tuple(one["id"] for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str))
