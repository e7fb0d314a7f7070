"""Requests and tokens of each key and minute, as providers count them: what is left is told with each answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Left:
    """What a key may still do in this window, after the request that asks."""

    requests_limit: int
    requests: int
    tokens_limit: int
    tokens: int
    reset_s: float

    @property
    def reset(self) -> str:
        """As OpenAI writes a duration: `59.8s`, `1m0s`, `12ms`."""
        if self.reset_s < 1:
            return f"{math.ceil(self.reset_s * 1000)}ms"
        minutes, seconds = divmod(self.reset_s, 60)
        return f"{int(minutes)}m{seconds:g}s" if minutes else f"{round(seconds, 3):g}s"


class Limits:
    """A fixed window for each key, which begins with its first request."""

    def __init__(self, requests_per_minute: int = 10_000, tokens_per_minute: int = 2_000_000) -> None:
        self._requests = requests_per_minute
        self._tokens = tokens_per_minute
        self._windows: dict[str, tuple[float, int, int]] = {}

    def take(self, key: str, tokens: int, now: float, count: int = 1) -> tuple[bool, Left]:
        """Count one request (or none: a list of models is free) of so many tokens; whether it is within the limits, and
        what is left."""
        began, requests, used = self._windows.get(key, (now, 0, 0))
        if now >= began + WINDOW_S:
            began, requests, used = now, 0, 0
        within = requests + count <= self._requests and used + tokens <= self._tokens
        if within:
            requests, used = requests + count, used + tokens
        self._windows[key] = began, requests, used
        left = self._requests - requests, self._tokens - used
        return within, Left(self._requests, left[0], self._tokens, left[1], began + WINDOW_S - now)
