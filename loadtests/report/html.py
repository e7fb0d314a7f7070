"""report.html: one file that can be mailed, read without a script, on a phone, in light and in dark.

Everything comes from the `Report`; every text that came from outside (a target's headers, an error's name, what the
user called the run) is escaped. The page's order is that of belief: is the run valid, was the load delivered, what was
measured, and only then the pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from loadtests.report import plots
from loadtests.report.model import Report
from loadtests.report.units import NBSP, NONE, between, duration, exactly, interval, number, rate, share
from loadtests.statistics.honesty import ACHIEVED_LIMIT_RATIO, CPU_LIMIT_RATIO, SEND_LAG_P99_LIMIT_S, Honesty
from loadtests.statistics.intervals import EXACT_BELOW
from loadtests.statistics.spread import Spread
from loadtests.statistics.summary import Split, Summary

_HERE = Path(__file__).parent
_LIMITS = {"ttft": "TTFT", "ttfo": "TTFO", "tpot": "TPOT", "e2e": "end to end", "stall": "stall"}
_SHOWN = (0.5, 0.9, 0.95, 0.99)


def write_html(report: Report, path: Path) -> None:
    """Write the page to a neighbour and rename: a reader never sees half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(render(report), encoding="utf-8")
    partial.replace(path)


def render(report: Report) -> str:
    """The page."""
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    sections = (
        _header(report),
        _verdict(report),
        _tiles(report.summary),
        _section("Was the load delivered?", _honesty(report.honesty)),
        _section("Latency", _latency(report.summary), _window_text(report)),
        _section("Over time", f'<div class="figures">{_over_time(report)}</div>'),
        _section("Distributions", f'<div class="figures">{_distributions(report)}</div>'),
        _section("Failures", plots.error_bars(report) + _examples(report.examples) + plots.errors_over_time(report)),
        *(_section(f"By {by}", _splits(splits)) for by, splits in report.summary.splits.items()),
        _section("Tokens and answers", _counted(report.summary)),
        _section("What was run", _pairs(report.facts.items())),
        _definitions(),
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{report.verdict} · {escape(report.title)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(sections)}</main><script>{script}</script></body></html>\n"
    )


def _section(title: str, body: str, note: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{body}</section>" if body else ""


def _header(report: Report) -> str:
    when = report.created.replace("T", " ").replace("+00:00", " UTC")
    return (
        f'<header><p class="kicker">Load test <time datetime="{escape(report.created)}">{escape(when)}</time>'
        f"</p><h1>{escape(report.title)}</h1></header>"
    )


def _verdict(report: Report) -> str:
    honesty = report.honesty
    good = honesty.valid and not report.in_vain
    kind, sign = ("valid", "✓") if good else ("invalid", "✕")
    said = "The client delivered the load as planned." if honesty.valid else "Do not use these numbers:"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in honesty.reasons)
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in honesty.warnings)
    return (
        f'<section class="verdict {kind}"><p><strong><span aria-hidden="true">{sign}</span> {report.verdict}</strong>'
        f" {said}</p>{f'<ul>{reasons}</ul>' if reasons else ''}"
        f"{f'<ul class=warnings>{warnings}</ul>' if warnings else ''}</section>"
    )


def _tiles(summary: Summary) -> str:
    limits = [f"{_LIMITS[name]}{NBSP}≤{NBSP}{exactly(limit)}" for name, limit in summary.slo.items()]
    slo = ", ".join(limits) or "answered without an error"
    latency, name = (summary.ttft_response, "TTFT") if summary.ttft_response else (summary.e2e_response, "End to end")
    tokens_known = summary.tokens.completion > 0
    tiles = [
        ("Attainment", share(summary.attainment.ratio), f"{slo}; 95 % interval {interval(summary.attainment)}"),
        ("Goodput", rate(summary.goodput_per_s), "good requests, of all scheduled"),
        (f"{name} p99", _at(latency, 0.99), f"median {_at(latency, 0.5)}, from intended send"),
        ("TPOT p99", _at(summary.tpot, 0.99), f"median {_at(summary.tpot, 0.5)}")
        if summary.tpot
        else ("End to end p99", _at(summary.e2e_response, 0.99), f"median {_at(summary.e2e_response, 0.5)}"),
        (
            "Throughput",
            rate(summary.throughput.tokens_per_s, "tok") if tokens_known else rate(summary.throughput.requests_per_s),
            f"{rate(summary.throughput.requests_per_s)} requests finished" if tokens_known else "requests finished",
        ),
        (
            "Failed",
            share(summary.failed / summary.scheduled if summary.scheduled else None),
            f"{number(summary.failed)} of {number(summary.scheduled)} scheduled",
        ),
    ]
    cells = "".join(
        f"<div><dt>{escape(label)}</dt><dd><b>{escape(value)}</b><span>{escape(note)}</span></dd></div>"
        for label, value, note in tiles
    )
    return f'<section><dl class="tiles">{cells}</dl></section>'


def _honesty(honesty: Honesty) -> str:
    lag, floor = honesty.send_lag, honesty.floor
    pairs = [
        ("Offered", rate(honesty.offered_per_s) if honesty.offered_per_s is not None else "closed loop"),
        ("Achieved", f"{rate(honesty.achieved_per_s)} ({share(honesty.achieved_ratio)} of offered)")
        if honesty.achieved_ratio is not None
        else ("Achieved", rate(honesty.achieved_per_s)),
        ("Requests sent", f"{number(honesty.sent)} of {number(honesty.scheduled)}; {number(honesty.drops)} dropped"),
        (
            "Send lag",
            _quantiles(p50=lag.at(0.5), p99=lag.at(0.99), max=lag.max_s) if lag else NONE,
        ),
        (
            "Client floor, TTFT",
            _quantiles(p50=floor.ttft_p50_s, p99=floor.ttft_p99_s) if floor else "not measured",
        ),
    ]
    if floor is not None and floor.chunk_gap_p50_s is not None:
        pairs.append(("Client floor, chunk gap", _quantiles(p50=floor.chunk_gap_p50_s, p99=floor.chunk_gap_p99_s)))
    if floor is not None and floor.events_per_s is not None:
        pairs.append(("Client can read", f"{rate(floor.events_per_s, 'events')} on one core"))
    workers = "".join(
        f'<tr><th scope="row">Worker {worker.worker}</th><td data-label="CPU mean">{share(worker.cpu_mean_ratio)}</td>'
        f'<td data-label="CPU p95">{share(worker.cpu_p95_ratio)}</td>'
        f'<td data-label="CPU max">{share(worker.cpu_max_ratio)}</td>'
        f'<td data-label="Loop stall">{duration(worker.loop_stall_s)}</td></tr>'
        for worker in honesty.workers
    )
    table = (
        '<table class="rows four"><thead><tr><th scope="col">Client process</th><th scope="col">CPU mean</th>'
        '<th scope="col">CPU p95</th><th scope="col">CPU max</th><th scope="col">Loop stall</th></tr></thead>'
        f"<tbody>{workers}</tbody></table>"
        if workers
        else ""
    )
    limits = (
        f"Invalid above a send lag p99 of {exactly(SEND_LAG_P99_LIMIT_S)} or {share(CPU_LIMIT_RATIO, 0)} client CPU"
        f" (p95 of seconds), or below {share(ACHIEVED_LIMIT_RATIO, 0)} of the offered rate."
        " Loop stall: the longest time in which the client could not even look."
    )
    return f'{_pairs(pairs)}{table}<p class="note">{escape(limits)}</p>'


def _latency(summary: Summary) -> str:
    rows: list[tuple[str, str, Spread | None, bool]] = [
        ("Time to first token", "from intended send", summary.ttft_response, True),
        ("", "from actual send (service)", summary.ttft_service, False),
        ("Time to first output", "first non-reasoning content, from intended send", summary.ttfo_response, True),
        ("End to end", "from intended send", summary.e2e_response, True),
        ("", "from actual send (service)", summary.e2e_service, False),
        ("Time per output token", "(last − first chunk) / (tokens − 1)", summary.tpot, True),
        ("Stall", "longest chunk gap of each answer", summary.stall, True),
        ("Chunk gap", "all chunks of the whole run", summary.chunk_gap, True),
    ]
    present = [row for row in rows if row[2] is not None]
    if not present:
        return '<p class="none">Nothing was answered, so there is no latency.</p>'
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Count", "Mean", "p50", "p90", "p95", "p99", "Max"))
    body = "".join(_latency_row(name, way, spread, first) for name, way, spread, first in present if spread)
    few = any(row[2] is not None and row[2].percentiles[0].has_interval for row in present)
    note = f"Ranges under a percentile are its 95 % interval: fewer than {EXACT_BELOW:,} answers." if few else ""
    return (
        f'<table class="rows four"><thead><tr><th scope="col">Answered requests</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>{f'<p class=note>{note}</p>' if note else ''}"
    )


def _latency_row(name: str, way: str, spread: Spread, first: bool) -> str:
    cells = [f'<td data-label="Count">{number(spread.count)}</td><td data-label="Mean">{duration(spread.mean_s)}</td>']
    for q in _SHOWN:
        percentile = spread.percentile(q)
        around = ""
        if percentile.has_interval:
            around = f"<small>{between(percentile.low_s, percentile.high_s)}</small>"
        cells.append(f'<td data-label="p{q * 100:g}">{duration(percentile.value_s)}{around}</td>')
    cells.append(f'<td data-label="Max">{duration(spread.max_s)}</td>')
    head = f"{escape(name)}<small>{escape(way)}</small>" if name else f"<small>{escape(way)}</small>"
    return f'<tr class="{"first" if first else "beside"}"><th scope="row">{head}</th>{"".join(cells)}</tr>'


def _over_time(report: Report) -> str:
    ttft, e2e = (plots.latency_over_time(report, metric) for metric in ("ttft", "e2e"))
    return ttft + e2e + plots.rate_over_time(report)


def _distributions(report: Report) -> str:
    return "".join(plots.distribution(report, drawn) for drawn in report.distributions)


def _splits(splits: list[Split]) -> str:
    streamed = any(split.ttft_response for split in splits)
    name = "TTFT" if streamed else "End to end"

    def latency(split: Split) -> Spread | None:
        return split.ttft_response if streamed else split.e2e_response

    longest_s = max((spread.at(0.99) for split in splits if (spread := latency(split))), default=0.0)
    body = "".join(
        f'<tr><th scope="row">{f"<code>{escape(split.name)}</code>" if split.name else "<em>not named</em>"}</th>'
        f'<td data-label="Scheduled">{number(split.scheduled)}</td><td data-label="Failed">{number(split.failed)}</td>'
        f'<td data-label="Attainment">{share(split.attainment.ratio)}<small>{interval(split.attainment)}</small></td>'
        f'<td data-label="{name} p50">{_at(latency(split), 0.5)}</td>'
        f'<td data-label="{name} p99">{_at(latency(split), 0.99)}</td>'
        f'<td data-label="TPOT p50">{_at(split.tpot, 0.5)}</td>'
        f'<td class="wide">{plots.reach(latency(split), longest_s)}</td></tr>'
        for split in splits
    )
    heads = ("Scheduled", "Failed", "Attainment", f"{name} p50", f"{name} p99", "TPOT p50")
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<table class="rows"><thead><tr><th scope="col">Response header</th>{columns}'
        f'<th scope="col" class="wide">{name}, median to p99</th></tr></thead><tbody>{body}</tbody></table>'
    )


def _counted(summary: Summary) -> str:
    tokens, length = summary.tokens, summary.output_length
    reasons = ", ".join(f"{name or 'none given'} {number(count)}" for name, count in length.finish_reasons.items())
    statuses = ", ".join(f"{name} {number(count)}" for name, count in summary.statuses.items())
    short = NONE
    if length.asked:
        short = (
            f"{number(length.short)} of {number(length.asked)} answers are shorter than asked;"
            f" {share(length.produced_ratio)} of the tokens asked for came"
        )
    throughput = summary.throughput
    return _pairs(
        [
            ("Completion tokens", f"{number(tokens.completion)}, as the server counts them"),
            ("Answers without a count", f"{number(tokens.unknown)} (left out of TPOT and tokens/s, never guessed)"),
            ("TPOT undefined", f"{number(summary.tpot_undefined)} streamed answers of fewer than two tokens"),
            ("Output length mismatch", short),
            ("Prompt tokens", number(tokens.prompt)),
            ("Cached prompt tokens", f"{number(tokens.cached)} ({share(tokens.cached_ratio)})"),
            ("Finish reasons", reasons or NONE),
            ("HTTP statuses", statuses or NONE),
            ("Needed more than one attempt", number(summary.retried)),
            (
                "Over the makespan",
                f"{rate(throughput.makespan_requests_per_s)}, {rate(throughput.makespan_tokens_per_s, 'tok')}"
                f" in {duration(throughput.makespan_s)}, warm-up and drain included",
            ),
        ]
    )


def _examples(examples: Mapping[str, str]) -> str:
    """One example of each kind of failure: what the target said the first time."""
    return _pairs([(kind, said) for kind, said in examples.items()])


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="pairs">{cells}</dl>' if cells else ""


def _window_text(report: Report) -> str:
    window, summary = report.window, report.summary
    start_s = (window.start_ns - report.started_ns) / 1e9
    return (
        f"{window.why[:1].upper()}{window.why[1:]}. Counted: the {number(summary.scheduled)} requests scheduled from"
        f" {start_s:g} to {start_s + window.length_s:g} s; latency is that of the {number(summary.answered)} answered."
    )


def _definitions() -> str:
    terms = (
        (
            "Intended send",
            "when the schedule wanted the request to leave. The headline starts here, so that neither a slow client nor"
            " a queue in front of the target can hide.",
        ),
        (
            "First token",
            "the first event with content, reasoning or a tool call. Role, usage and [DONE] events never count.",
        ),
        (
            "Attainment",
            "good requests over all scheduled in the window; errors, timeouts, refusals and client drops are not good."
            " Goodput is the same numerator per second.",
        ),
        ("Throughput", "what finished inside the window, per second of it."),
        ("TPOT", "(last chunk − first chunk) / (tokens − 1), with the server's token count."),
    )
    items = "".join(f"<div><dt>{escape(term)}</dt><dd>{escape(text)}</dd></div>" for term, text in terms)
    return f'<details><summary>What the words mean</summary><dl class="terms">{items}</dl></details>'


def _quantiles(**values_s: float | None) -> str:
    return " · ".join(f"{name}{NBSP}{duration(value)}" for name, value in values_s.items())


def _at(spread: Spread | None, q: float) -> str:
    return NONE if spread is None else duration(spread.at(q))
