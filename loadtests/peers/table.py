"""The rows of the comparison. Pure: figures in, text out.

Rounds of one gateway are put together by their requests, not by their percentiles. A row with a round that the client
could not deliver, or that the gateway did not answer, is INVALID as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from loadtests.peers.traffic import capacity
from loadtests.statistics.columns import Columns, Floats
from loadtests.statistics.intervals import nearest_rank, wilson
from loadtests.statistics.slo import Slo

HEADS = (
    "gateway",
    "hit rate",
    "TTFT p50",
    "TTFT p99",
    "TPOT p50",
    "TPOT p99",
    "attained",
    "goodput/s",
    "capacity/s",
    "CPU/request",
    "spread",
)


@dataclass(frozen=True, slots=True)
class PeerRound:
    """One gateway, once: its requests of the window, what the replicas counted, what its processes used."""

    run: Columns
    """Requests scheduled in the window."""
    window_s: float
    requests: int
    """Of the whole round, to share the CPU time among."""
    cpu_s: float
    hit_tokens: float
    queried_tokens: float
    served: tuple[int, ...] = ()
    """Requests of each replica."""
    cold: int | None = None
    """Requests of the window whose shared prefix nobody had asked for before; None where none is shared."""


@dataclass(slots=True)
class PeerRow:
    """All rounds of one gateway."""

    name: str
    rounds: list[PeerRound] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tried: list[tuple[float, float]] = field(default_factory=list)
    """Rates that were tried for the capacity, ascending, and what part of the requests was good."""


def figures(row: PeerRow, slo: Slo) -> dict[str, float | None]:
    """The figures of a row; times in milliseconds, CPU in microseconds."""
    ttft = _pooled([one.run.ttft_response_s[one.run.ok] for one in row.rounds])
    tpot = _pooled([one.run.tpot_s[one.run.ok] for one in row.rounds])
    good = sum(int(slo.good(one.run).sum()) for one in row.rounds)
    total = sum(len(one.run) for one in row.rounds)
    queried = sum(one.queried_tokens for one in row.rounds)
    requests = sum(one.requests for one in row.rounds)
    window_s = sum(one.window_s for one in row.rounds)
    served = np.sum([one.served for one in row.rounds], axis=0) if row.rounds and row.rounds[0].served else np.zeros(0)
    return {
        "hit_ratio": sum(one.hit_tokens for one in row.rounds) / queried if queried else None,
        "ttft_p50_ms": _ms(ttft, 0.5),
        "ttft_p99_ms": _ms(ttft, 0.99),
        "tpot_p50_ms": _ms(tpot, 0.5),
        "tpot_p99_ms": _ms(tpot, 0.99),
        "attainment": wilson(good, total).ratio,
        "goodput_per_s": good / window_s if window_s else None,
        "capacity_per_s": capacity(row.tried),
        "ceiling": _ceiling(row.rounds),
        "cpu_us": sum(one.cpu_s for one in row.rounds) * 1e6 / requests if requests else None,
        "spread": float(served.max() / served.mean()) if len(served) and served.sum() else None,
    }


def table(rows: Sequence[PeerRow], slo: Slo) -> str:
    """One line per gateway, and under it what is wrong with the invalid ones."""
    lines = [list(HEADS)]
    for row in rows:
        found = figures(row, slo)
        if not row.rounds:
            lines.append([row.name, *("-" for _ in HEADS[1:])])
            continue
        lines.append(
            [
                row.name,
                _share(found["hit_ratio"]),
                *(_text(found[name], " ms") for name in ("ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms")),
                _share(found["attainment"]),
                _text(found["goodput_per_s"]),
                _text(found["capacity_per_s"]),
                _text(found["cpu_us"], " us", 0),
                _text(found["spread"], "x", 2),
            ]
        )
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEADS))]
    text = []
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        text.append("  ".join([line[0].ljust(widths[0]), *cells[1:]]))
    ceilings = [ceiling for row in rows if (ceiling := _ceiling(row.rounds)) is not None]
    if ceilings:
        text.append(f"ceiling: {min(ceilings):.1%} of the requests have a prefix that was asked for before")
    text += [f"INVALID {row.name}: {problem}" for row in rows for problem in row.problems]
    return "\n".join(text)


def _ceiling(rounds: Sequence[PeerRound]) -> float | None:
    """What part of the requests could be answered from some cache, if all that was computed were still there."""
    known = [one for one in rounds if one.cold is not None and len(one.run)]
    if not known:
        return None
    return 1.0 - sum(one.cold or 0 for one in known) / sum(len(one.run) for one in known)


def _pooled(parts: list[Floats]) -> Floats:
    whole = np.concatenate(parts) if parts else np.zeros(0)
    return np.sort(whole[~np.isnan(whole)])


def _ms(ordered: Floats, q: float) -> float | None:
    return float(ordered[nearest_rank(len(ordered), q)]) * 1e3 if len(ordered) else None


def _text(value: float | None, unit: str = "", digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
