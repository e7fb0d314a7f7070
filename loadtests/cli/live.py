"""The run while it runs: a progress bar and a table, drawn anew each second; plain lines where there is no terminal.

Everything shown is of the last second, unless it says "so far". It is written to standard error, so that standard
output holds nothing but the result.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from loadtests.client.worker import Progress
from loadtests.report.units import NONE, duration, number, rate, share
from loadtests.schedule.plan import Plan
from loadtests.statistics.histogram import LogHistogram

LINE_EVERY_S = 5.0
"""Without a terminal, one line in this time: a log of a ten-minute run has 120."""

_ROWS = (
    ("TTFT, from intended send", "ttft"),
    ("TTFT, service", "ttft_service"),
    ("End to end, from intended send", "e2e"),
    ("Time per output token", "tpot"),
    ("Chunk gap", "chunk_gap"),
    ("Send lag of the client", "send_lag"),
)
_SHOWN = (50, 90, 99)


class LiveTable:
    """A context manager; `update` takes what `Run` reports."""

    def __init__(self, plan: Plan, heading: str, console: Console | None = None) -> None:
        self._plan = plan
        self._heading = heading
        self._console = console or Console(stderr=True)
        self._before = Progress(t_s=0.0)
        self._next_line_s = LINE_EVERY_S
        self._live: Live | None = None

    def __enter__(self) -> LiveTable:
        if self._console.is_terminal:
            first = Text(f"{self._heading}: starting")
            self._live = Live(first, console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        else:
            self._say(f"{self._heading}: starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        """Draw it. `progress` is of all workers together."""
        if self._live is not None:
            self._live.update(render(self._plan, self._heading, self._before, progress), refresh=True)
        elif progress.t_s >= self._next_line_s:
            self._next_line_s += LINE_EVERY_S
            self._say(line(self._plan, progress))
        self._before = progress

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)


def line(plan: Plan, progress: Progress) -> str:
    """One line for a log."""
    ttft = _quantiles(progress, "ttft" if "ttft" in progress.latency else "e2e")
    return (
        f"{progress.t_s:.0f} of {plan.duration_s:g} s: sent {number(progress.sent)}, done {number(progress.done)},"
        f" failed {number(progress.failed)}, in flight {number(progress.in_flight)},"
        f" {'TTFT' if 'ttft' in progress.latency else 'end to end'} p50 {ttft[0]} p99 {ttft[-1]},"
        f" busiest client core {share(progress.cpu_ratio, 0)}"
    )


def render(plan: Plan, heading: str, before: Progress, now: Progress) -> RenderableType:
    """The bar, the counts and the latencies; `before` is the report one second earlier."""
    length_s = max(1e-9, now.t_s - before.t_s)
    bar = ProgressBar(total=plan.duration_s, completed=min(now.t_s, plan.duration_s), width=48)
    left_s = plan.duration_s - now.t_s
    clock = f"{now.t_s:.0f} of {plan.duration_s:g} s" if left_s > 0 else f"draining {number(now.in_flight)} requests"
    top = Table.grid(padding=(0, 2))
    top.add_row(Text(heading, style="bold"))
    progress_row = Table.grid(padding=(0, 2))
    progress_row.add_row(bar, Text(clock))

    counts = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for name in ("sent/s", "done/s", "tokens/s", "in flight", "sent so far", "failed", "dropped", "within SLO", "CPU"):
        counts.add_column(name, justify="right")
    counts.add_row(
        rate((now.sent - before.sent) / length_s),
        rate((now.done - before.done) / length_s),
        rate((now.tokens - before.tokens) / length_s),
        number(now.in_flight),
        number(now.sent),
        Text(number(now.failed), style="red" if now.failed else ""),
        Text(number(now.dropped), style="red" if now.dropped else ""),
        share(now.good / now.done if now.done else None),
        share(now.cpu_ratio, 0),
    )

    latency = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    latency.add_column("last second")
    for q in _SHOWN:
        latency.add_column(f"p{q}", justify="right")
    for label, name in _ROWS:
        if name in now.latency:
            latency.add_row(label, *_quantiles(now, name))
    return Group(top, progress_row, Text(), counts, Text(), latency)


def _quantiles(progress: Progress, name: str) -> list[str]:
    data = progress.latency.get(name)
    if data is None:
        return [NONE for _ in _SHOWN]
    return [duration(value / 1e9) for value in LogHistogram.from_json(data).percentiles(_SHOWN)]
