"""How far what a replica was predicted to have cached was from what it reported, of late."""

from __future__ import annotations

import math
from typing import Final

DECAY_S: Final = 60.0


class PrefixTally:
    """The predictions about one replica. Sums fade by e every `DECAY_S`."""

    __slots__ = ("_at_s", "_error_tokens", "_prompt_tokens", "_requests", "predicted", "reports")

    def __init__(self) -> None:
        self.predicted = False
        """Whether anything was."""
        self.reports = False
        """Whether the engine reports cached tokens. It is taken not to until the first that are not 0: usage without
        them reads as 0."""
        self._at_s = 0.0
        self._requests = self._error_tokens = self._prompt_tokens = 0.0

    def take(self, predicted_tokens: float, reported_tokens: int, prompt_tokens: int, now: float) -> None:
        """So many tokens of a prompt were predicted to be cached, and so many were by the engine's own report."""
        self.predicted = True
        if not self.reports:
            if reported_tokens <= 0:
                return
            self.reports = True
        keep = math.exp(min(0.0, self._at_s - now) / DECAY_S)
        self._at_s = now
        self._requests = self._requests * keep + 1.0
        self._error_tokens = self._error_tokens * keep + abs(predicted_tokens - reported_tokens)
        self._prompt_tokens = self._prompt_tokens * keep + prompt_tokens

    @property
    def error_tokens(self) -> float | None:
        """Of a request, in the mean; None where nothing is known."""
        return self._error_tokens / self._requests if self._requests else None

    @property
    def error_ratio(self) -> float | None:
        """The same as a part of the prompts."""
        return self._error_tokens / self._prompt_tokens if self._prompt_tokens else None
