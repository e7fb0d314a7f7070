"""Feedback as the control plane passes it on: to the store, and, of requests of experiments, to their gates.

What was kept is told as an event, too, where spans are sent (`gateway.telemetry.evaluations`). Comments are not: they
are content, and leave the store only when they are asked for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from gateway import clock
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.telemetry.evaluations import Evaluation, otlp_evaluations
from gateway.telemetry.metrics.families.feedback import FEEDBACK
from gateway.telemetry.metrics.families.records import RECORDS_DROPPED
from routing.gate.observation import Measured
from routing.rate_limit import RateLimit

if TYPE_CHECKING:
    from gateway.experiments.plan import Plan
    from gateway.settings import Settings
    from gateway.store.evaluations.messages import EvaluatorFinding
    from gateway.telemetry.evaluations import Evaluations
    from gateway.telemetry.metrics import Metrics

Store = Callable[[GiveFeedback], Awaitable[FeedbackGiven]]


class TakesEvaluations(Protocol):
    """Sends what answers were worth: `gateway.telemetry.evaluations.Evaluations`."""

    def send(self, evaluation: Evaluation) -> None: ...


class Feedback:
    """See the module."""

    def __init__(
        self,
        store: Store | None,
        plans: Callable[[], Mapping[str, Plan]],
        observed: Callable[[Sequence[Measured]], None],
        metrics: Metrics,
        *,
        now_s: Callable[[], float] = clock.monotonic,
        evaluations: TakesEvaluations | None = None,
    ) -> None:
        """`store` is None where nothing is stored; `plans` are those of the experiments, by identity."""
        self._store = store
        self._plans = plans
        self._observed = observed
        self._metrics = metrics
        self._now_s = now_s
        self._limit = RateLimit()
        self._booleans: frozenset[str] = frozenset()
        self._sent: Evaluations | None = None
        self.evaluations = evaluations
        """Who hears of values; None until `use` finds that somebody would."""

    def use(self, settings: Settings) -> None:
        """These settings are in use now. Where events go is what the first ones said."""
        metrics = settings.feedback.metrics
        self._booleans = frozenset(name for name, metric in metrics.items() if metric.type == "boolean")
        for name in metrics:
            self._metrics.count(FEEDBACK, name, "kept", by=0)
        otlp = settings.telemetry.otlp
        if self.evaluations is None and (otlp is None or otlp.evaluations):
            self._sent = self.evaluations = otlp_evaluations(
                otlp.endpoint if otlp is not None else None,
                {name: value.get_secret_value() for name, value in otlp.headers.items()} if otlp is not None else {},
                otlp.service_name if otlp is not None else "penstock",
                os.environ,
            )
            if self._sent is not None:
                sent = self._sent
                self._metrics.watch_count(RECORDS_DROPPED, ("evaluations",), lambda: sent.lost)

    def wait_s(self, key_id: str, metric: str, per_minute: int) -> float:
        """0 where this key may tell something, which counts; else in how many seconds it may."""
        wait_s = self._limit.wait_s(key_id, self._now_s(), per_minute)
        if wait_s:
            self._metrics.count(FEEDBACK, metric, "limited")
        return wait_s

    async def give(self, given: GiveFeedback) -> FeedbackGiven:
        """Keep it, and let gates know. What comes twice, by its key, they hear of once."""
        if self._store is None:
            return FeedbackGiven("away", "`store.url` is off")
        told = await self._store(given)
        result = told.problem or ("repeated" if told.repeated else "withheld" if told.withheld else "kept")
        self._metrics.count(FEEDBACK, given.metric, result)
        if not told.problem and not told.repeated:
            measured = self._measured(told, given.metric, given.value)
            if measured is not None:
                self._observed([measured])
            if self.evaluations is not None:
                self.evaluations.send(self._evaluation(told, given))
        return told

    def evaluated(self, findings: Iterable[EvaluatorFinding]) -> None:
        """What evaluators have found, of which gates and events know as if an application had told it."""
        for found in findings:
            told = found.told
            if found.value is not None:
                measured = self._measured(told, found.metric, found.value)
                if measured is not None:
                    self._observed([measured])
            if self.evaluations is not None:
                self.evaluations.send(
                    Evaluation(
                        found.metric,
                        found.value,
                        found.source,
                        told.record_id,
                        label=found.label,
                        response_id=told.response_id,
                        trace_id=told.trace_id,
                        model=told.model,
                        arm=told.arm,
                        error=found.error,
                    )
                )

    async def close(self) -> None:
        """Send what waits, beside the loop."""
        if self._sent is not None:
            await asyncio.to_thread(self._sent.close)

    def _evaluation(self, told: FeedbackGiven, given: GiveFeedback) -> Evaluation:
        return Evaluation(
            given.metric,
            given.value,
            "feedback",
            told.record_id,
            label=("true" if given.value else "false") if given.metric in self._booleans else "",
            response_id=told.response_id,
            trace_id=told.trace_id,
            model=told.model,
            arm=told.arm,
        )

    def _measured(self, told: FeedbackGiven, metric: str, value: float) -> Measured | None:
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
            metric,
            value,
        )
