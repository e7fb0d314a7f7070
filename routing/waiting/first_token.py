"""When a request's first token is due and when it would come: for models that refuse at once what would be late."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FirstToken:
    """What is foreseen of one request, in seconds from now."""

    due_s: float
    """By the model's objective, less what it has waited."""
    comes_s: float
    """Where it would go, with what is there before it."""
    alone_s: float
    """There, with nothing before it."""
    one_s: float
    """How long all replicas of its tier together take to prefill one like it."""
    margin_s: float = 0.0
    """How far off `comes_s` may be."""

    @property
    def latest_s(self) -> float:
        """When it is late. A prompt that is too long for any engine, however idle, is late if anything is before it."""
        return max(self.due_s - self.margin_s, self.alone_s)

    @property
    def over_s(self) -> float:
        """By how much it would be late; at most 0: it is in time."""
        return self.comes_s - self.latest_s
