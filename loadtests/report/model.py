"""What report.json holds: a contract with whoever parses it in CI.

Fields are added freely; one that is renamed, removed or given another meaning raises SCHEMA_VERSION. Durations are
seconds, rates per second, shares 0 to 1. Null in a series: nothing to measure in that slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from loadtests.report.series import Distribution, TimeSeries, duration_distribution, gap_distribution, time_series
from loadtests.statistics.columns import Columns
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.honesty import Floor, Honesty, WorkerLoad, examine
from loadtests.statistics.slo import Slo
from loadtests.statistics.summary import Summary, summarise
from loadtests.statistics.window import Window, steady_window

SCHEMA = "penstock.load-report"
SCHEMA_VERSION = 1


class Report(msgspec.Struct, frozen=True):
    """A run, judged and summed up. `facts` says what was run, in the words to print, in order."""

    title: str
    created: str
    """ISO 8601 with an offset; the only wall-clock time in the report."""
    facts: dict[str, str]
    started_ns: int
    duration_s: float
    window: Window
    honesty: Honesty
    summary: Summary
    series: TimeSeries
    distributions: list[Distribution]
    examples: dict[str, str] = {}
    """By kind of failure, what the target said the first time."""
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    @property
    def in_vain(self) -> bool:
        """Whether requests were scheduled and none was answered."""
        return bool(self.summary.scheduled and not self.summary.answered)

    @property
    def verdict(self) -> str:
        """The headline: that of the honesty block, unless a load that was delivered as planned was in vain."""
        return "FAILED, nothing was answered" if self.honesty.valid and self.in_vain else self.honesty.verdict


def build_report(
    run: Columns,
    *,
    title: str,
    created: str,
    facts: Mapping[str, str],
    started_ns: int,
    duration_s: float,
    open_loop: bool,
    slo: Slo | None = None,
    window: Window | None = None,
    chunk_gaps: LogHistogram | None = None,
    workers: Sequence[WorkerLoad] = (),
    floor: Floor | None = None,
    examples: Mapping[str, str] | None = None,
) -> Report:
    """Judge, sum up and bin a run whose schedule began at `started_ns` and lasted `duration_s`.

    `window` None: find the steady one. Pass `statistics.window.fixed_window` for a load that drifts on purpose.
    """
    window = window or steady_window(run, started_ns, duration_s)
    inside = run.take(window.scheduled(run) & run.ok)
    distributions = [
        duration_distribution("ttft", {"response": inside.ttft_response_s, "service": inside.ttft_service_s}),
        duration_distribution("tpot", {"tpot": inside.tpot_s}),
        duration_distribution("e2e", {"response": inside.e2e_response_s, "service": inside.e2e_service_s}),
        gap_distribution(chunk_gaps),
    ]
    return Report(
        title=title,
        created=created,
        facts=dict(facts),
        started_ns=started_ns,
        duration_s=duration_s,
        window=window,
        honesty=examine(run, started_ns, duration_s, open_loop=open_loop, workers=workers, floor=floor),
        summary=summarise(run, window, slo, chunk_gaps),
        series=time_series(run, started_ns, duration_s),
        distributions=[distribution for distribution in distributions if distribution is not None],
        examples=dict(examples or {}),
    )
