"""The comparison as text: per scenario, number of replicas and load a line for each policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from gateway.virtual.fleet.modelled import Crew
from gateway.virtual.intervals import difference_interval, ratio_interval
from gateway.virtual.policies.bars import Bar
from gateway.virtual.policies.compare import Plan, Result
from gateway.virtual.policies.figures import Figures
from gateway.virtual.policies.saturation import WANTED_GOOD_RATIO
from gateway.virtual.policies.scenarios import scenario_named

HEADS = ("policy", "good", "refused", "good/s", "TTFT p50", "TTFT p99", "hits", "off", "imbalance")


def table(plan: Plan, results: Sequence[Result], reference: str, twins: dict[str, str]) -> str:
    """The whole text. `twins` gives a policy's name for the same policy with the true caches.

    Policies are compared with `reference`, seed by seed; without it among the policies, no comparison is printed.
    """
    compared = reference in plan.policies
    heads = [*HEADS, "hits, true caches"]
    if compared:
        heads += [f"good over {reference}", f"p99 / {reference}"]
    lines = _preamble(plan)
    for result in results:
        case = result.case
        scenario = scenario_named(case.scenario)
        lines += [
            "",
            f"{case.scenario}: {scenario.says}",
            f"{case.replicas} replicas, {case.load_text}, {_gateways(case.crew)}: {result.rate_per_s:.1f} requests/s,"
            f" good is a TTFT within {scenario.ttft_slo_s * 1000:g} ms",
        ]
        rows = [heads]
        rows += [
            _row(result, policy, reference if compared else None, twins.get(policy))
            for policy in plan.played(case.crew)
        ]
        lines += _aligned(rows)
    return "\n".join(lines) + "\n"


def bars_table(judged: Sequence[Bar]) -> str:
    """Each bar with what was found, and how many were missed."""
    rows = [("bar", "case", "found", "")]
    rows += [(one.asked, one.case, one.found, "met" if one.met else "MISSED") for one in judged]
    missed = sum([not one.met for one in judged])
    return "\n".join(["", *_aligned(rows), f"{len(judged) - missed} of {len(judged)} bars met"]) + "\n"


def _gateways(crew: Crew) -> str:
    gateways = "one gateway" if crew.gateways == 1 else f"{crew.gateways} gateways that share nothing"
    if crew.gateways > 1 and (crew.tell_s or crew.share_s):
        heard = [(crew.tell_s, "load"), (crew.share_s, "prompts")]
        often = " and ".join(f"{what} every {every_s * 1000:g} ms" for every_s, what in heard if every_s)
        gateways = f"{crew.gateways} gateways that hear of the others' {often}"
    return gateways


def _preamble(plan: Plan) -> list[str]:
    return [
        f"Virtual time; means of {plan.seeds} seeds of {plan.duration_s:g} s, a quarter of it warm-up.",
        f"Saturation is the highest rate at which an oracle (true caches, queues and rates) keeps"
        f" {WANTED_GOOD_RATIO:.0%} good.",
        "TTFT, hits and imbalance are of what was answered; what was refused is not good.",
        "Every policy meets the same requests at the same times; brackets are 95 % intervals of paired comparisons.",
    ]


def _row(result: Result, policy: str, reference: str | None, twin: str | None) -> list[str]:
    found = result.figures[policy]

    def mean(of: Callable[[Figures], float]) -> float:
        return fmean([of(one) for one in found.values()])

    true = result.figures.get(twin) if twin else None
    row = [
        policy,
        f"{mean(lambda one: one.good_ratio):.1%}",
        f"{mean(lambda one: one.refused_ratio):.1%}",
        f"{mean(lambda one: one.goodput_per_s):.1f}",
        f"{mean(lambda one: one.ttft_p50_s) * 1000:,.0f} ms",
        f"{mean(lambda one: one.ttft_p99_s) * 1000:,.0f} ms",
        f"{mean(lambda one: one.hit_ratio):.1%}",
        "-" if None in [one.off_ratio for one in found.values()] else f"{mean(lambda one: one.off_ratio or 0.0):.1%}",
        f"{mean(lambda one: one.imbalance):.2f}",
        f"{fmean([one.hit_ratio for one in true.values()]):.1%}" if true else "-",
    ]
    if reference == policy:
        row += ["-", "-"]
    elif reference is not None:
        pairs = [(one, result.figures[reference][seed]) for seed, one in found.items()]
        points = difference_interval([100 * a.good_ratio for a, _ in pairs], [100 * b.good_ratio for _, b in pairs])
        times = ratio_interval([a.ttft_p99_s for a, _ in pairs], [b.ttft_p99_s for _, b in pairs])
        row += [points.told("+.1f", " pt"), times.told(".2f", "x")]
    return row


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join([row[0].ljust(widths[0]), *cells[1:]]) for row, cells in zip(rows, padded, strict=True)]
