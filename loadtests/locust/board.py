"""The numbers of a run that other processes drive, added up from what their workers report: for Locust's web page.

A worker's counts are the run so far, so the latest report of each is what counts; its latencies and failures are of one
second, so all of them are added up. Percentiles come from merged histograms, never from percentiles of workers.
"""

from __future__ import annotations

from typing import Any

from loadtests.client.worker import Progress
from loadtests.report.units import NBSP, NONE, duration, interval, number, rate, share
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.honesty import ACHIEVED_LIMIT_RATIO, CPU_LIMIT_RATIO, SEND_LAG_P99_LIMIT_S
from loadtests.statistics.intervals import nearest_rank, wilson

LATENCY_ROWS = (
    ("TTFT, from intended send", "ttft"),
    ("TTFT, service", "ttft_service"),
    ("End to end, from intended send", "e2e"),
    ("End to end, service", "e2e_service"),
    ("Time per output token", "tpot"),
    ("Chunk gap", "chunk_gap"),
)
_QUANTILES = (50, 90, 95, 99, 99.9)
LATENCY_COLUMNS = ("Name", "Count", "Mean", "p50", "p90", "p95", "p99", "p99.9", "Max")
PAIR_COLUMNS = ("Name", "Value", "Limit")

Row = dict[str, str]


class Board:
    """Takes reports, gives tables."""

    def __init__(self, slo: str = "", scheduled: int = 0) -> None:
        """`scheduled`: arrivals of the whole run; 0 for a closed loop."""
        self.slo = slo
        self.scheduled = scheduled
        self.over = False
        """Every worker is done, so what was not sent will not be."""
        self.errors: dict[str, int] = {}
        self._latest: dict[int, Progress] = {}
        self._cpu: dict[int, list[float]] = {}
        self._latency: dict[str, LogHistogram] = {}

    def take(self, progress: Progress) -> None:
        """Add a report of one worker."""
        self._latest[progress.worker] = progress
        self._cpu.setdefault(progress.worker, []).append(progress.cpu_ratio)
        for name, data in progress.latency.items():
            self._latency.setdefault(name, LogHistogram()).merge(LogHistogram.from_json(data))
        for kind, count in progress.errors.items():
            self.errors[kind] = self.errors.get(kind, 0) + count

    def total(self, name: str) -> int:
        """A count of `Progress`, over all workers."""
        return sum(getattr(progress, name) for progress in self._latest.values())

    @property
    def elapsed_s(self) -> float:
        return max((progress.t_s for progress in self._latest.values()), default=0.0)

    def reasons(self) -> list[str]:
        """Why the numbers must not be believed; the rules are those of `loadtests.statistics.honesty`."""
        reasons = []
        lag = self._latency.get("send_lag")
        if lag is not None and lag.count and lag.percentile(99) > SEND_LAG_P99_LIMIT_S * 1e9:
            reasons.append(f"client-bound: send lag p99 {duration(lag.percentile(99) / 1e9)}")
        reasons += [
            f"client-bound: worker {worker} used {share(busy, 0)} of a core"
            for worker in sorted(self._cpu)
            if (busy := self._busy(worker)) > CPU_LIMIT_RATIO
        ]
        if self.errors.get("client_limit"):
            reasons.append(f"client-bound: {self.errors['client_limit']:,} requests found no descriptor or port")
        if self.over and self.scheduled and self.total("sent") < ACHIEVED_LIMIT_RATIO * self.scheduled:
            reasons.append(f"load not delivered: {self.total('sent'):,} of {self.scheduled:,} requests were sent")
        return [reason.replace(NBSP, " ") for reason in reasons]

    def _busy(self, worker: int) -> float:
        samples = sorted(self._cpu[worker])
        return samples[nearest_rank(len(samples), 0.95)]

    # -- tables ------------------------------------------------------------------------------------------------------

    def latency(self) -> list[Row]:
        """A row per duration; columns as in LATENCY_COLUMNS."""
        rows = []
        for label, name in LATENCY_ROWS:
            histogram = self._latency.get(name)
            if histogram is None or not histogram.count:
                continue
            cells = [duration(value / 1e9) for value in histogram.percentiles(_QUANTILES)]
            mean, most = duration(histogram.mean / 1e9), duration(histogram.max / 1e9)
            rows.append(_row(LATENCY_COLUMNS, label, number(histogram.count), mean, *cells, most))
        return rows

    def goodput(self) -> list[Row]:
        """What was attained so far; failures are in the denominator."""
        done, good, elapsed_s = self.total("done"), self.total("good"), self.elapsed_s
        attained = wilson(good, done)
        pairs = [
            ("Attainment", f"{share(attained.ratio)} ({interval(attained)})", self.slo or "answered without an error"),
            ("Goodput", rate(good / elapsed_s if elapsed_s else None), ""),
            ("Requests that ended", rate(done / elapsed_s if elapsed_s else None), ""),
            ("Completion tokens", rate(self.total("tokens") / elapsed_s if elapsed_s else None, "tok"), ""),
            ("Events with content", rate(self.total("chunks") / elapsed_s if elapsed_s else None, "events"), ""),
            ("In flight", number(self.total("in_flight")), ""),
            ("Failed", number(self.total("failed")), ""),
        ]
        pairs += [(f"Failed: {kind}", number(count), "") for kind, count in sorted(self.errors.items())]
        return [_row(PAIR_COLUMNS, *pair) for pair in pairs]

    def honesty(self) -> list[Row]:
        """Whether these numbers may be believed."""
        reasons, lag = self.reasons(), self._latency.get("send_lag")
        lags = [NONE] * 3
        if lag is not None and lag.count:
            lags = [duration(value / 1e9) for value in (*lag.percentiles((50, 99)), lag.max)]
        pairs = [
            ("Verdict", "INVALID: " + "; ".join(reasons) if reasons else "VALID so far", ""),
            ("Scheduled", number(self.scheduled) if self.scheduled else "closed loop", ""),
            ("Sent", number(self.total("sent")), f"≥ {share(ACHIEVED_LIMIT_RATIO, 0)} of scheduled, at the end"),
            ("Dropped at the in-flight limit", number(self.total("dropped")), ""),
            ("Send lag, p50", lags[0], ""),
            ("Send lag, p99", lags[1], f"≤ {duration(SEND_LAG_P99_LIMIT_S)}"),
            ("Send lag, max", lags[2], ""),
        ]
        pairs += [
            (f"CPU of worker {worker}, p95", share(self._busy(worker), 0), f"≤ {share(CPU_LIMIT_RATIO, 0)}")
            for worker in sorted(self._cpu)
        ]
        return [_row(PAIR_COLUMNS, *pair) for pair in pairs]

    def tables(self) -> dict[str, tuple[tuple[str, ...], list[Row]]]:
        """Title to columns and rows, in the order to show."""
        return {
            "LLM latency": (LATENCY_COLUMNS, self.latency()),
            "LLM goodput": (PAIR_COLUMNS, self.goodput()),
            "LLM honesty": (PAIR_COLUMNS, self.honesty()),
        }

    def text(self) -> str:
        """All tables for a terminal."""
        lines: list[str] = []
        for title, (columns, rows) in self.tables().items():
            grid = [list(columns), *([row[key(column)] for column in columns] for row in rows)]
            widths = [max(len(line[place]) for line in grid) for place in range(len(columns))]
            lines += ["", title]
            lines += ["  " + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in grid]
        return "\n".join(lines).replace(NBSP, " ")


def key(column: str) -> str:
    """The field of a row that holds a column: letters and digits, as Locust's page wants them."""
    return "".join(character for character in column.lower() if character.isalnum())


def _row(columns: tuple[str, ...], *cells: Any) -> Row:
    return {key(column): str(cell) for column, cell in zip(columns, cells, strict=True)}
