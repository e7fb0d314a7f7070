"""Whether and when a failed request is tried again. Only before the first body byte: that is the caller's duty.

Rules, in the order they are applied:
1. An outcome that no attempt can better ends it, and so does the client's deadline. No wait ever reaches the deadline.
   So does a connection lost after the send, unless `after_send`: the engine may have done the work, and charge for it.
2. An untried endpoint that is available is asked at once: other replicas are not known to be in trouble, and waiting
   would only add latency. It costs a token of the model's retry budget, except
   - a move to a tier deeper than any tried: a fallback always gets its chance. The load this adds is bounded by the
     number of tiers, and it lands on a pool that is not known to be in trouble;
   - after a connect failure: nothing was sent, so no load is added;
   - after a refusal that is the target's or the engine's (a wrong model name, a revoked key): nothing was computed.
     Whatever would refuse for the same reason is passed over, tried or not.
3. With none untried, one that was tried is asked again, after a full-jitter exponential back-off (Brooker, "Exponential
   Backoff And Jitter", 2015) and never before its own Retry-After. It costs a token. A Retry-After over the limit ends
   it: the client is told at once and decides. SDKs wait by themselves, and a wait here would come on top of theirs.
4. No tier is asked more than `max_attempts` times by one request.

Nothing here is built for a request that succeeds: make the `RetryState` at its first failure.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from routing.choosing.filters import passed_over
from routing.facts import RequestFacts
from routing.failing.outcome import Outcome, Retry
from routing.model import Endpoint
from routing.route import ModelRoute

GiveUpReason = Literal["not_retryable", "deadline", "budget", "retry_after", "exhausted"]


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again after `seconds`, at the endpoint that `RetryState.choose` then names."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the client. `exhausted`: no endpoint, or no attempt, is left."""

    reason: GiveUpReason


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One attempt that did not reach its first body byte. `retry_after_s` is what the answer's header asked for."""

    endpoint: Endpoint
    outcome: Outcome
    retry_after_s: float | None = None


AT_ONCE = Wait(0.0)
_FREE = (Retry.FREE_TO_MOVE, Retry.NEXT_ENGINE, Retry.NEXT_TARGET)
"""No work was done, so that a move adds no load."""
_ELSEWHERE_ONLY = (Retry.NEXT_TIER, Retry.NEXT_ENGINE, Retry.NEXT_TARGET)
"""Waiting would not help."""


class RetryState:
    """What one request has tried so far."""

    __slots__ = (
        "_attempts",
        "_barred",
        "_deadline_s",
        "_due_s",
        "_facts",
        "_not_before_s",
        "_refusing",
        "_rounds",
        "_speakers",
        "route",
        "tried",
    )

    def __init__(self, route: ModelRoute, facts: RequestFacts, deadline_s: float | None = None) -> None:
        """Some target of the route must speak the operation. `deadline_s` is the client's, on the clock of `now`; None
        when it set none."""
        self.route = route
        self._facts = facts
        self._speakers = route.speakers[facts.operation]
        self.tried: list[Endpoint] = []
        self._refusing: set[Endpoint] = set()
        """Would refuse as their engine or target did: never asked again by this request."""
        self._barred: list[Endpoint] = []
        """Tried, or refusing."""
        self._attempts = [0] * len(self._speakers.pools)
        self._deadline_s = float("inf") if deadline_s is None else deadline_s
        self._not_before_s: dict[Endpoint, float] = {}
        self._rounds = 0
        self._due_s = float("-inf")

    @property
    def attempts(self) -> int:
        """Failed attempts so far."""
        return len(self.tried)

    def choose(self, now: float, rng: random.Random) -> Endpoint | None:
        """The endpoint of the next attempt, once the wait is over; None when all have become unavailable meanwhile."""
        over = passed_over(self.route, self._facts, now)
        skip = {*over, *self._barred}
        for tier in self._open_tiers():
            endpoint = self._speakers.pickers[tier].pick(self._facts, now, rng, skip)
            if endpoint is not None:
                return endpoint
        # A timer may fire a fraction of a millisecond early; that must not look like a Retry-After still running.
        due_s = max(now, self._due_s)
        early = [endpoint for endpoint, until_s in self._not_before_s.items() if until_s > due_s]
        skip = {*over, *early, *self._refusing}
        for tier in self._open_tiers():
            endpoint = self._speakers.pickers[tier].pick(self._facts, now, rng, skip)
            if endpoint is not None:
                return endpoint
        return None

    def note(self, failure: FailedAttempt, now: float) -> None:
        """Take in a failure that nothing follows from, because another attempt is still on its way."""
        self.tried.append(failure.endpoint)
        self._barred.append(failure.endpoint)
        self._attempts[failure.endpoint.tier] += 1
        after_s = failure.retry_after_s
        if after_s is not None and after_s >= 0:
            until_s = max(now + after_s, self._not_before_s.get(failure.endpoint, 0.0))
            self._not_before_s[failure.endpoint] = until_s

    def free_in_s(self, now: float) -> float | None:
        """In how long the first of those that asked to be left alone serves again; None when none did."""
        if not self._not_before_s:
            return None
        return max(0.0, min(self._not_before_s.values()) - now)

    def pass_over(self, refusing: Endpoint, *, same_model: bool) -> None:
        """Bar every endpoint of the engine that refused; `same_model`: only under the name it was asked for, and of an
        adapter only the replica that lacks it. Of an engine with several keys only the one whose key was refused."""
        if same_model and (refusing.engine, refusing.model) in self.route.adapters:
            self._refusing.add(refusing)
            return
        if not same_model and refusing.engine in self.route.keyed:
            self._refusing.add(refusing)  # it was this key that was refused
            return
        for pool in self._speakers.pools:
            for endpoint in pool:
                if endpoint.engine == refusing.engine and (endpoint.model == refusing.model or not same_model):
                    self._refusing.add(endpoint)
                    self._barred.append(endpoint)

    def _open_tiers(self) -> list[int]:
        limit = self.route.retry.max_attempts
        return [tier for tier, attempts in enumerate(self._attempts) if attempts < limit]

    def _close_tiers_to(self, last: int) -> None:
        for tier in range(last + 1):
            self._attempts[tier] = max(self._attempts[tier], self.route.retry.max_attempts)

    def _untried_tier(self, now: float) -> int | None:
        """The first open tier with an available endpoint that was not tried."""
        over = passed_over(self.route, self._facts, now)
        for tier in self._open_tiers():
            for endpoint in self._speakers.pools[tier]:
                if endpoint.state.available(now) and endpoint not in self._barred and endpoint not in over:
                    return tier
        return None

    def _again_at_s(self, now: float) -> float | None:
        """When the first of the tried endpoints may be asked again; None when none of them ever may."""
        tiers = self._open_tiers()
        return min(
            (
                self._not_before_s.get(endpoint, now)
                for endpoint in self.tried
                if endpoint.tier in tiers and endpoint not in self._refusing and endpoint.state.available(now)
            ),
            default=None,
        )

    def _backoff_s(self, rng: random.Random) -> float:
        retry = self.route.retry
        most_s = min(retry.max_backoff_s, retry.base_backoff_s * 2.0 ** min(self._rounds, 32))
        self._rounds += 1
        return rng.random() * most_s


def deeper_tier_left(
    route: ModelRoute, facts: RequestFacts, tier: int, now: float, state: RetryState | None = None
) -> bool:
    """Whether an attempt in `tier` that is too slow could be followed by one in a deeper tier than any tried."""
    pools = route.speakers[facts.operation].pools
    barred: list[Endpoint] = []
    if state is not None:
        tier = max(tier, max([endpoint.tier for endpoint in state.tried], default=0))
        barred = state._barred
    if tier + 1 >= len(pools):
        return False
    over = passed_over(route, facts, now)
    for pool in pools[tier + 1 :]:
        for endpoint in pool:
            if endpoint.state.available(now) and endpoint not in barred and endpoint not in over:
                return True
    return False


def next(state: RetryState, failure: FailedAttempt, now: float, rng: random.Random) -> Wait | GiveUp:
    """What to do after `failure`. Call it once per failed attempt; takes from the model's budget when it says Wait."""
    state.note(failure, now)
    may = failure.outcome.retry
    if may is Retry.NEVER or (may is Retry.IF_ALLOWED and not state.route.retry.after_send):
        return GiveUp("not_retryable")
    if now >= state._deadline_s:
        return GiveUp("deadline")
    budget = state.route.budget
    deepest = max(endpoint.tier for endpoint in state.tried)
    if may is Retry.NEXT_TIER:
        state._close_tiers_to(deepest)
    elif may is Retry.NEXT_ENGINE or may is Retry.NEXT_TARGET:
        state.pass_over(failure.endpoint, same_model=may is Retry.NEXT_TARGET)
    tier = state._untried_tier(now)
    if tier is not None:
        if tier > deepest or may in _FREE or budget.withdraw(now):
            return AT_ONCE
        state._close_tiers_to(deepest)
        return GiveUp("budget") if state._untried_tier(now) is None else AT_ONCE
    if may in _ELSEWHERE_ONLY:
        return GiveUp("not_retryable")
    again_s = state._again_at_s(now)
    if again_s is None:
        return GiveUp("exhausted")
    if again_s - now > state.route.retry.max_retry_after_s:
        return GiveUp("retry_after")
    wait_s = max(again_s - now, state._backoff_s(rng))
    if now + wait_s >= state._deadline_s:
        return GiveUp("deadline")
    if not budget.withdraw(now):
        return GiveUp("budget")
    state._due_s = now + wait_s
    return Wait(wait_s)
