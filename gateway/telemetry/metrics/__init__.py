"""Counters of one worker, and the sum of several.

Promise: settling one request costs about a microsecond (a prometheus-client observe costs 0.7 us each, and there would
be fourteen). So numbers are plain attributes and lists, found once per route and held by the caller. The merge of all
workers equals one worker that had seen every request. What is counted is declared in `families`, a file per family.

I want to ... add a metric / add a file to `families` / test it in `tests/gateway/telemetry/test_exposition.py`.
"""

from gateway.telemetry.metrics.accumulator import Accumulator
from gateway.telemetry.metrics.counting import OTHER, Metrics, Reading
from gateway.telemetry.metrics.series import Series
from gateway.telemetry.metrics.snapshot import MetricsSnapshot, Sample, emptying, merge
from gateway.telemetry.metrics.tally import Tally

__all__ = [
    "OTHER",
    "Accumulator",
    "Metrics",
    "MetricsSnapshot",
    "Reading",
    "Sample",
    "Series",
    "Tally",
    "emptying",
    "merge",
]
