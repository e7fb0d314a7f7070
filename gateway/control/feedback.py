"""Feedback as the control plane passes it on: to the store, and, of requests of experiments, to their gates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from routing.gate.observation import Measured

if TYPE_CHECKING:
    from gateway.experiments.plan import Plan


class Feedback:
    """See the module."""

    def __init__(
        self,
        store: Callable[[GiveFeedback], Awaitable[FeedbackGiven]] | None,
        plans: Callable[[], Mapping[str, Plan]],
        observed: Callable[[Iterable[Measured]], None],
    ) -> None:
        """`store` is None where nothing is stored; `plans` are those of the experiments, by identity."""
        self._store = store
        self._plans = plans
        self._observed = observed

    async def give(self, given: GiveFeedback) -> FeedbackGiven:
        """Keep it, and let gates know. What comes twice, by its key, they hear of once."""
        if self._store is None:
            return FeedbackGiven("away", "`store.url` is off")
        told = await self._store(given)
        if not told.problem and not told.repeated:
            measured = self._measured(told, given)
            if measured is not None:
                self._observed([measured])
        return told

    def _measured(self, told: FeedbackGiven, given: GiveFeedback) -> Measured | None:
        plan = self._plans().get(told.experiment)
        if plan is None or told.arm not in plan.arms or not told.unit:
            return None  # it counted in none, or in one that is over
        shares = tuple(float(share) for share in told.shares.split(",")) if told.shares else ()
        return Measured(
            told.experiment,
            plan.arms.index(told.arm),
            int(told.unit, 16),
            shares,
            told.record_id,
            given.metric,
            given.value,
        )
