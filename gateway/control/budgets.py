"""What keys have spent beside what the workers of now know: before the gateway started, and in workers that are gone.

It adds to the workers' own in the merged metrics, so that a restart, or a worker that dies, forgets no dollar.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway import clock
from gateway.accounts.spending import DAY, Spending
from gateway.telemetry.metrics import Metrics, Sample
from gateway.telemetry.metrics.families.spending import SPENT


class Budgets:
    """See the module."""

    def __init__(self, metrics: Metrics) -> None:
        """`metrics` are the control plane's own."""
        self._spending = Spending()
        metrics.watch(SPENT, lambda: self._spending.reading(clock.wall()))

    def seed(self, spent: Iterable[tuple[str, str, float, float]]) -> None:
        """What the store has: by key and tenant the US dollars of this day and this month. Call it once, at start."""
        now_s = clock.wall()
        for key_id, tenant, day_usd, month_usd in spent:
            self._spending.add(key_id, tenant, day_usd, month_usd, now_s)

    def inherit(self, gauges: Iterable[Sample]) -> None:
        """A worker is gone: what it last told of its keys is ours from now on."""
        now_s = clock.wall()
        for sample in gauges:
            if sample.name == SPENT.name:
                key_id, tenant, period = sample.labels
                of_day, of_month = (sample.value, 0.0) if period == DAY else (0.0, sample.value)
                self._spending.add(key_id, tenant, of_day, of_month, now_s)
