"""Requests that come while their engine has no replica: who is woken for them, and how long they are held."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Holding:
    """Of one model: it wakes these engines, and what comes for them waits."""

    engines: tuple[str, ...]
    most_s: float = 300.0
    tokens: int = 2_000_000
    """Prompt and expected output tokens that may wait."""
