"""What all speakers need of a call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from engines.wire.request import CallPart, ChatRequest, FilePart, ImagePart, Part, ResultPart, TextPart, Turn


def data_url(part: ImagePart | FilePart) -> str:
    return f"data:{part.media_type};base64,{part.data}"


def arguments(call: CallPart) -> Any:
    return json.loads(call.arguments)


def text_of(parts: list[Any]) -> str:
    """All parts must be texts."""
    assert all(isinstance(part, TextPart) for part in parts)
    return "".join(part.text for part in parts)


def alone(parts: list[Any]) -> bool:
    """Whether it is one text, which every SDK takes as a string."""
    return len(parts) == 1 and isinstance(parts[0], TextPart)


def results(turn: Turn) -> Iterator[ResultPart]:
    return (part for part in turn.parts if isinstance(part, ResultPart))


def rest(turn: Turn) -> list[Part]:
    return [part for part in turn.parts if not isinstance(part, ResultPart)]


def lose(call: ChatRequest, lost: set[str], *names: str) -> None:
    """These of the call's members the SDK has no word for."""
    for name in names:
        value = getattr(call, name)
        if value not in (None, [], ""):
            lost.add({"reasoning": "reasoning_effort"}.get(name, name))


def lose_marks(call: ChatRequest, lost: set[str]) -> None:
    """It has no marks for caches."""
    parts = [part for turn in call.turns for part in turn.parts]
    if any(getattr(one, "cache", None) for one in (*parts, *call.tools)):
        lost.add("cache_control")


def lose_failure(call: ChatRequest, lost: set[str]) -> None:
    """It cannot say that a tool failed."""
    if any(one.failed for turn in call.turns for one in results(turn)):
        lost.add("tool_errors")
