"""The loop that asks the store what is known of drift, for the gauges. What there is to judge is judged over there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from gateway import clock
from gateway.process.supervisor import Supervisor
from gateway.store.messages import AskRead, Read
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.drift import DRIFT, DRIFT_DISTANCE

EVERY_S: Final = 60.0
"""Of hours that are summed up once an hour."""

Labels = tuple[str, str, str, str]


class _Signal(msgspec.Struct):
    signal: str
    state: str
    value: float | None = None
    evidence: float | None = None


class _Entry(msgspec.Struct):
    model: str
    arm: str
    route: str
    signals: list[_Signal]


class _Report(msgspec.Struct):
    data: list[_Entry]


_decode: Final = msgspec.json.Decoder(_Report).decode


class DriftGauges:
    """What the store said last."""

    def __init__(self, read: Callable[[AskRead], Awaitable[Read]], metrics: Metrics) -> None:
        self._read = read
        self._distances: list[tuple[Labels, float]] = []
        self._alarms: list[tuple[Labels, float]] = []
        metrics.watch(DRIFT, lambda: self._alarms)
        metrics.watch(DRIFT_DISTANCE, lambda: self._distances)

    async def look(self) -> None:
        """The step of the loop. While the store is away, what it said last stays. Raises what is no report."""
        told = await self._read(AskRead("drift", {}, clock.wall()))
        if told.away:
            return
        distances: list[tuple[Labels, float]] = []
        alarms: list[tuple[Labels, float]] = []
        for entry in _decode(told.document).data:
            for one in entry.signals:
                labels = entry.model, entry.arm, entry.route, one.signal
                value = one.value if one.evidence is None else one.evidence
                if one.state != "not enough data" and value is not None:
                    distances.append((labels, value))
                    alarms.append((labels, float(one.state == "drift")))
        self._distances, self._alarms = distances, alarms


def watch_drift(supervisor: Supervisor, read: Callable[[AskRead], Awaitable[Read]], metrics: Metrics) -> None:
    """Begin the loop."""
    supervisor.loop("drift", DriftGauges(read, metrics).look, EVERY_S, at_once=False)
