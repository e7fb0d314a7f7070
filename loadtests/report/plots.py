"""Which charts a report has, and what each says under the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from loadtests.report.model import Report
from loadtests.report.series import Distribution, Track
from loadtests.report.svg import Axis, Chart, log_ticks, nice_ticks
from loadtests.report.units import NBSP, duration, exactly, number, share
from loadtests.statistics.spread import Spread

_NAMES = {
    "ttft": "Time to first token",
    "tpot": "Time per output token",
    "e2e": "End-to-end time",
    "chunk_gap": "Chunk gaps",
}
_WAYS = {
    "response": "from intended send",
    "service": "from actual send",
    "tpot": "streamed answers",
    "gap": "all chunks",
}
_COUNTED = {"ttft": "answers", "tpot": "answers", "e2e": "answers", "chunk_gap": "gaps"}


def figure(title: str, note: str, body: str, legend: Sequence[tuple[str, str]] = ()) -> str:
    """A chart with its title, what to know about it, and its legend (`(class of the swatch, name)`)."""
    keys = "".join(f'<li><i class="{style}"></i>{escape(name)}</li>' for style, name in legend)
    return (
        f"<figure><figcaption><h3>{escape(title)}</h3><p>{escape(note)}</p>"
        f"{f'<ul class=legend>{keys}</ul>' if keys else ''}</figcaption>{body}</figure>"
    )


def latency_over_time(report: Report, metric: str) -> str:
    """Median to p99 of each slice, by the intended send; empty when nothing was measured."""
    tracks: list[Track] = [getattr(report.series, f"{metric}_{q}_s") for q in ("p50", "p90", "p99")]
    p50, p90, p99 = tracks
    highest = max((value for value in p99 if value is not None), default=None)
    if highest is None:
        return ""
    limit_s = report.summary.slo.get(metric)
    # A limit just above the data belongs into the picture; a distant one would flatten it.
    top = limit_s if limit_s is not None and highest < limit_s <= 1.6 * highest else highest
    edges, middles = _time_edges(report)
    chart = Chart(
        _time_axis(report), duration_axis(top), f"{_NAMES[metric]} over the run: median, p90 and p99 per slice"
    )
    chart.band(middles, p50, p99, "band")
    chart.line(middles, p99, "line p99")
    chart.line(middles, p90, "line p90")
    chart.line(middles, p50, "line p50")
    _shade_warm_up(chart, report)
    if limit_s is not None:
        chart.limit(limit_s, f"SLO {exactly(limit_s)}")
    rows = [[name, [duration(v) for v in track]] for name, track in (("p99", p99), ("p90", p90), ("p50", p50))]
    return figure(
        f"{_NAMES[metric]} over time",
        "from intended send, by when it was scheduled",
        chart.html({"at": _slice_names(edges), "rows": rows}),
        [("line p99", "p99"), ("line p90", "p90"), ("line p50", "median")],
    )


def rate_over_time(report: Report) -> str:
    """What the schedule asked for, what left, what was answered."""
    series = report.series
    edges, middles = _time_edges(report)
    lengths = [right - left for left, right in pairwise(edges)]

    def per_s(counts: list[int]) -> list[float]:
        return [count / length for count, length in zip(counts, lengths, strict=True)]

    offered, sent, answered = per_s(series.scheduled), per_s(series.sent), per_s(series.answered)
    ticks = nice_ticks(max([*offered, *sent, *answered, 1e-9]))
    axis = Axis(0, ticks[-1], tuple((tick, f"{tick:,g}/s" if tick else "0") for tick in ticks))
    chart = Chart(_time_axis(report), axis, "Requests per second over the run: offered, sent and answered")
    chart.steps(edges, offered, "fill offered", closed=True)
    chart.line(middles, list(answered), "line answered")
    chart.line(middles, list(sent), "line sent")
    _shade_warm_up(chart, report)
    tracks = (("offered", offered), ("sent", sent), ("answered", answered))
    rows = [[name, [f"{value:,.1f}/s" for value in values]] for name, values in tracks]
    open_loop = report.honesty.offered_per_s is not None
    return figure(
        "Offered and achieved rate",
        "requests per second" if open_loop else "requests per second; a closed loop offers what the target lets it",
        chart.html({"at": _slice_names(edges), "rows": rows}),
        [("fill offered", "offered by the schedule"), ("line sent", "sent"), ("line answered", "answered")],
    )


def errors_over_time(report: Report) -> str:
    """Failures by kind, stacked; empty when none failed."""
    errors = report.series.errors
    if not errors:
        return ""
    edges, _ = _time_edges(report)
    totals = [sum(column) for column in zip(*errors.values(), strict=True)]
    ticks = [tick for tick in nice_ticks(max([*totals, 1])) if tick == int(tick)]
    axis = Axis(0, ticks[-1], tuple((tick, f"{tick:,.0f}") for tick in ticks))
    chart = Chart(_time_axis(report), axis, "Failed requests over the run, by kind")
    bottoms = [0.0] * len(totals)
    legend = []
    for place, (kind, counts) in enumerate(errors.items()):
        tops = [bottom + count for bottom, count in zip(bottoms, counts, strict=True)]
        chart.bars(edges, bottoms, tops, f"fill kind{place}")
        legend.append((f"fill kind{place}", kind))
        bottoms = tops
    _shade_warm_up(chart, report)
    rows = [[kind, [number(count) for count in counts]] for kind, counts in errors.items()]
    return figure(
        "Failures over time",
        f"failed requests per {exactly(report.series.slice_s)}, by when they were scheduled",
        chart.html({"at": _slice_names(edges), "rows": rows}),
        legend,
    )


def distribution(report: Report, drawn: Distribution) -> str:
    """The shape of one duration: bars for the headline, an outline for the other way of measuring it."""
    highest = max(max(counts, default=0) for counts in drawn.counts.values())
    ticks = [tick for tick in nice_ticks(max(highest, 1), 3) if tick == int(tick)]
    y = Axis(0, ticks[-1], tuple((tick, _short(tick)) for tick in ticks))
    low, high = drawn.edges_s[0], drawn.edges_s[-1]
    x = Axis(low, high, _duration_ticks(low, high, drawn.logarithmic), drawn.logarithmic)
    chart = Chart(x, y, f"Distribution: {_NAMES[drawn.name]}")
    styles = ("fill headline", "line service")
    for (_, counts), style in zip(drawn.counts.items(), styles, strict=False):
        chart.steps(drawn.edges_s, counts, style, closed=style.startswith("fill"))
    measured = _measured(report, drawn.name)
    for q, name in ((0.5, "median"), (0.99, "p99")):
        if measured is not None and low <= measured.at(q) <= high:
            chart.mark(measured.at(q), f"{name} {duration(measured.at(q))}")
    note = f"{_COUNTED[drawn.name]} per bar{', logarithmic axis' if drawn.logarithmic else ''}"
    if drawn.name == "chunk_gap":
        note += "; whole run; chunks are not tokens"
    if drawn.beyond:
        note += f"; {number(drawn.beyond)} beyond {duration(high)}"
    bars = [f"{duration(a)} to {duration(b)}" for a, b in pairwise(drawn.edges_s)]
    rows = [[_WAYS.get(way, way), [number(count) for count in counts]] for way, counts in drawn.counts.items()]
    legend = [(style, _WAYS.get(way, way)) for way, style in zip(drawn.counts, styles, strict=False)]
    return figure(
        f"{_NAMES[drawn.name]}: distribution",
        note,
        chart.html({"at": bars, "rows": rows}),
        legend if len(legend) > 1 else (),
    )


def reach(spread: Spread | None, longest_s: float) -> str:
    """A row's median and p99 as a dot and a whisker, on a scale shared by its table."""
    if spread is None or longest_s <= 0:
        return ""
    middle, high = (f"{100 * spread.at(q) / longest_s:.1f}%" for q in (0.5, 0.99))
    return f'<span class="reach" aria-hidden="true"><i style="left:{middle};right:calc(100% - {high})"></i></span>'


def duration_axis(highest_s: float) -> Axis:
    """From zero to a round value above the data, in one unit."""
    scale, unit = (1e6, "µs") if highest_s < 1e-3 else (1e3, "ms") if highest_s < 1 else (1.0, "s")
    ticks = nice_ticks(max(highest_s, 1e-9) * scale)
    labels = tuple((tick / scale, f"{tick:,g}{NBSP}{unit}" if tick else "0") for tick in ticks)
    return Axis(0, ticks[-1] / scale, labels)


def _duration_ticks(low: float, high: float, logarithmic: bool) -> tuple[tuple[float, str], ...]:
    if logarithmic:
        return tuple((tick, exactly(tick)) for tick in log_ticks(low, high))
    step = nice_ticks(high - low, 5)[1]
    first = -int(-low // step)
    return tuple((n * step, exactly(n * step)) for n in range(first, first + 9) if n * step <= high)


def _short(count: float) -> str:
    return f"{count / 1000:,g}k" if count >= 10_000 else f"{count:,.0f}"


_TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)


def _time_axis(report: Report) -> Axis:
    length = report.duration_s
    step = next((step for step in _TICKS_S if length / step <= 6), length)
    scale, unit = (1.0, "s") if length <= 180 else (60.0, "min") if length <= 3 * 3600 else (3600.0, "h")
    ticks = [step * number for number in range(int(length / step * (1 + 1e-9)) + 1)]
    return Axis(0, length, tuple((tick, f"{tick / scale:g}{NBSP}{unit}" if tick else "0") for tick in ticks))


def _time_edges(report: Report) -> tuple[list[float], list[float]]:
    """Edges of the slices and their middles; the last slice may be cut short by the end of the schedule."""
    width = report.series.slice_s
    edges = [min(number * width, report.duration_s) for number in range(len(report.series.scheduled) + 1)]
    return edges, [(left + right) / 2 for left, right in pairwise(edges)]


def _slice_names(edges: list[float]) -> list[str]:
    return [f"{left:g} to {right:g}{NBSP}s" for left, right in pairwise(edges)]


def _shade_warm_up(chart: Chart, report: Report) -> None:
    start_s = (report.window.start_ns - report.started_ns) / 1e9
    if start_s > 0:
        chart.shade(0, start_s, "not counted")


def _measured(report: Report, name: str) -> Spread | None:
    summary = report.summary
    by_name = {
        "ttft": summary.ttft_response,
        "tpot": summary.tpot,
        "e2e": summary.e2e_response,
        "chunk_gap": summary.chunk_gap,
    }
    return by_name[name]


def error_bars(report: Report) -> str:
    """Failures by kind as a table with bars; says so when there were none."""
    summary = report.summary
    if not summary.errors:
        return '<p class="none">No request failed.</p>'
    most = max(summary.errors.values())
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(kind)}</code></th><td data-label="Failed">{number(count)}</td>'
        f'<td data-label="Of scheduled">{share(count / summary.scheduled, 2)}</td>'
        f'<td class="wide"><span class="bar" style="width:{100 * count / most:.1f}%"></span></td></tr>'
        for kind, count in summary.errors.items()
    )
    return (
        '<table class="rows"><thead><tr><th scope="col">Kind</th><th scope="col">Failed</th>'
        f'<th scope="col">Of scheduled</th><td class="wide"></td></tr></thead><tbody>{rows}</tbody></table>'
    )
