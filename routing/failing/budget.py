"""A retry budget: retries may add a bounded share to a model's load, however badly its replicas fail.

Promise: over any span of t seconds in which n requests arrived, at most `cap + per_request * n + floor_per_s * t`
retries are granted. Without it, three attempts per request turn a brown-out into three times the load. The floor lets
a model with little traffic retry at all. (The design is Finagle's `RetryBudget`.)
"""

from __future__ import annotations


class RetryBudget:
    """Tokens of one model. `deposit` is on the path of every request, so it does no arithmetic on time."""

    __slots__ = ("_cap", "_floor_per_s", "_last_s", "_per_request", "_tokens")

    def __init__(self, per_request: float = 0.2, floor_per_s: float = 10.0, cap: float = 100.0) -> None:
        """Starts with one second's floor. `cap` bounds what a quiet time can save up: ten seconds of the floor."""
        self._per_request = per_request
        self._floor_per_s = floor_per_s
        self._cap = cap
        self._tokens = min(cap, floor_per_s)
        self._last_s: float | None = None

    def deposit(self) -> None:
        """A first attempt is being made."""
        if self._tokens < self._cap:
            self._tokens = min(self._cap, self._tokens + self._per_request)

    def withdraw(self, now: float) -> bool:
        """Ask to make one retry at `now`; False means that it must not be made."""
        if self._last_s is not None and now > self._last_s:
            self._tokens = min(self._cap, self._tokens + (now - self._last_s) * self._floor_per_s)
        self._last_s = now if self._last_s is None else max(now, self._last_s)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
