"""The result of a run on a terminal: may it be believed, was the load delivered, what was measured. One screen."""

from __future__ import annotations

from loadtests.report.model import Report
from loadtests.report.units import NONE, between, duration, exactly, interval, number, rate, share
from loadtests.statistics.honesty import Honesty
from loadtests.statistics.spread import Spread
from loadtests.statistics.summary import Summary

_SHOWN = (0.5, 0.9, 0.99)


def text(report: Report) -> str:
    """Some thirty lines, the verdict first."""
    honesty, summary = report.honesty, report.summary
    lines = [f"{report.verdict}: {report.title}"]
    lines += [f"  {reason}" for reason in honesty.reasons]
    lines += [f"  note: {warning}" for warning in honesty.warnings]
    lines += [
        "",
        *_delivered(honesty),
        "",
        *_latency(summary),
        "",
        *_counted(summary),
        *(f"    {kind:<12}{said}" for kind, said in report.examples.items()),
        f"  window        {report.window.why}",
    ]
    return "\n".join(lines).replace("\u00a0", " ")


def _delivered(honesty: Honesty) -> list[str]:
    lag, floor = honesty.send_lag, honesty.floor
    offered = "closed loop" if honesty.offered_per_s is None else rate(honesty.offered_per_s)
    busiest = max((worker.cpu_p95_ratio or 0.0 for worker in honesty.workers), default=None)
    lines = [
        f"  offered       {offered}; achieved {rate(honesty.achieved_per_s)}"
        + (f" ({share(honesty.achieved_ratio)})" if honesty.achieved_ratio is not None else ""),
        f"  sent          {number(honesty.sent)} of {number(honesty.scheduled)} scheduled, "
        f"{number(honesty.drops)} dropped",
        "  send lag      "
        + (f"p50 {duration(lag.at(0.5))}, p99 {duration(lag.at(0.99))}, max {duration(lag.max_s)}" if lag else NONE),
        f"  client CPU    {share(busiest, 0)} of a core (busiest worker, 95th percentile of seconds)",
    ]
    if floor is not None:
        lines.append(
            f"  client floor  TTFT p50 {duration(floor.ttft_p50_s)}, p99 {duration(floor.ttft_p99_s)};"
            f" reads {rate(floor.events_per_s, 'events')} on one core"
        )
    return lines


def _latency(summary: Summary) -> list[str]:
    rows = (
        ("TTFT", summary.ttft_response),
        ("TTFT, service", summary.ttft_service),
        ("end to end", summary.e2e_response),
        ("end to end, service", summary.e2e_service),
        ("TPOT", summary.tpot),
        ("stall", summary.stall),
        ("chunk gap", summary.chunk_gap),
    )
    heads = ("count", "mean", *(f"p{q * 100:g}" for q in _SHOWN), "max")
    lines = [f"  {'':<20}" + "".join(f"{head:>12}" for head in heads)]
    for name, spread in rows:
        if spread is not None:
            lines.append(f"  {name:<20}" + "".join(f"{cell:>12}" for cell in _cells(spread)))
    few = next((spread for _, spread in rows if spread is not None and spread.percentiles[0].has_interval), None)
    if few is not None:
        p99 = few.percentile(0.99)
        lines.append(f"  under 1,000 answers: the first row's p99 lies within {between(p99.low_s, p99.high_s)} (95 %)")
    return lines if len(lines) > 1 else ["  nothing was answered, so there is no latency"]


def _cells(spread: Spread) -> list[str]:
    values = (spread.mean_s, *(spread.at(q) for q in _SHOWN), spread.max_s)
    return [number(spread.count), *(duration(value) for value in values)]


def _counted(summary: Summary) -> list[str]:
    slo = ", ".join(f"{name} <= {exactly(limit)}" for name, limit in summary.slo.items()) or "answered without an error"
    failed = share(summary.failed / summary.scheduled if summary.scheduled else None)
    kinds = ", ".join(f"{kind} {number(count)}" for kind, count in summary.errors.items())
    throughput, tokens = summary.throughput, summary.tokens
    lines = [
        f"  attainment    {share(summary.attainment.ratio)} ({interval(summary.attainment)}) of scheduled: {slo}",
        f"  goodput       {rate(summary.goodput_per_s)} good requests",
        f"  throughput    {rate(throughput.requests_per_s)} finished, {rate(throughput.tokens_per_s, 'tok')}",
        f"  failed        {number(summary.failed)} of {number(summary.scheduled)} ({failed})"
        + (f": {kinds}" if kinds else ""),
    ]
    if tokens.unknown:
        lines.append(f"  tokens        unknown for {number(tokens.unknown)} answers, which have no TPOT")
    if tokens.cached_ratio is not None:
        lines.append(f"  prefix cache  {share(tokens.cached_ratio)} of prompt tokens, as the server reports it")
    return lines
