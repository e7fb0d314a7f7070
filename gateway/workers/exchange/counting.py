"""Tells the control plane what this worker has counted, unasked and often: one that is killed loses little.

Only series that have changed are told, and few at a time: all of 1,000 series at once would hold up the streams of this
loop for 5 ms.
"""

from __future__ import annotations

from collections.abc import Callable

from engines.turns import own_turn
from gateway.telemetry.metrics import Metrics, Series
from gateway.workers.exchange.messages import Counters, SeriesCounted, ToPlane

EVERY_S = 1.0
AT_ONCE = 32
"""Series copied and compared, between two turns of the loop: at most 0.2 ms."""


class CountTelling:
    """What has been told of the counters of one worker."""

    def __init__(self, metrics: Metrics, tell: Callable[[ToPlane], bool]) -> None:
        """`tell` sends a message and returns whether it went out; what did not is told again."""
        self._metrics = metrics
        self._tell = tell
        self._told: dict[tuple[str, str, str], Series] = {}

    async def tell(self) -> None:
        """The loop's step: tell what has changed since the last."""
        await self._tell_series()
        self._tell(await self._others())

    async def answer(self) -> Counters:
        """Tell what has changed; what is told by then and this answer are all there is."""
        await self._tell_series()
        return await self._others()

    async def _tell_series(self) -> None:
        tallies = self._metrics.tallies()
        for start in range(0, len(tallies), AT_ONCE):
            counted = [tally.series() for tally in tallies[start : start + AT_ONCE]]
            changed = [series for series in counted if self._told.get(series.key) != series]
            if changed and self._tell(SeriesCounted(changed)):
                for series in changed:
                    self._told[series.key] = series
            await own_turn()

    async def _others(self) -> Counters:
        reading = self._metrics.read_others()
        while True:
            try:
                next(reading)
            except StopIteration as end:
                return Counters(*end.value)
            await own_turn()
