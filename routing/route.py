"""A route: everything the request path needs to know of one public model. Immutable, but for what it has learned."""

from __future__ import annotations

from dataclasses import dataclass, field

from routing.budget import RetryBudget
from routing.model import Endpoint
from routing.pickers import Picker, picker_named
from routing.tokens import TokenEstimate


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How hard one request tries, and how much retrying one model may do.

    The budget is per worker: with N workers, divide `budget_floor_per_s` and `budget_cap` by N.
    """

    max_attempts: int = 3
    """Attempts per tier, the first included."""
    base_backoff_s: float = 0.025
    max_backoff_s: float = 2.0
    max_retry_after_s: float = 10.0
    """A longer Retry-After is the client's to wait for, not ours."""
    budget_per_request: float = 0.2
    budget_floor_per_s: float = 10.0
    budget_cap: float = 100.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError("max_attempts must be at least 1")
        if not (0 <= self.base_backoff_s <= self.max_backoff_s and self.max_retry_after_s >= 0):
            raise ValueError("back-off and Retry-After limits must not be negative, nor base over maximum")

    def new_budget(self) -> RetryBudget:
        return RetryBudget(self.budget_per_request, self.budget_floor_per_s, self.budget_cap)


DEFAULT_RETRY = RetrySettings()


@dataclass(frozen=True, slots=True, eq=False)
class ModelRoute:
    """One public model: pools of endpoints in the order in which they are asked."""

    name: str
    tiers: tuple[tuple[Endpoint, ...], ...]
    """Never an empty tier; no tiers at all when no target has a replica yet."""
    policy: str
    retry: RetrySettings
    budget: RetryBudget
    tokens: TokenEstimate
    pickers: tuple[Picker, ...] = field(init=False)
    """One per tier."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pickers", tuple(picker_named(self.policy, tier) for tier in self.tiers))
