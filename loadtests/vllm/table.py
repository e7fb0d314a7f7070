"""The rows of the comparison. Pure: rounds in, text out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.peers.table import PeerRound, PeerRow, figures
from loadtests.statistics.slo import Slo

HEADS = (
    *("rate", "policy", "hit rate", "TTFT p50", "TTFT p99", "TPOT p50", "attained", "goodput/s", "spread"),
    *("guess off", "by events"),
)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the gateway knew of the caches at the end of a round, over the replicas."""

    error_ratio: float | None
    """Mean part of a prompt by which its guesses at cached tokens were off; None where it made none."""
    by_events: int
    """Replicas whose KV events it followed then, with nothing missed."""


@dataclass(frozen=True, slots=True)
class VllmRound:
    """One policy, once."""

    rate_per_s: float
    policy: str
    measured: PeerRound
    knowledge: Knowledge


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one policy at one rate."""

    rate_per_s: float
    policy: str
    found: dict[str, float | None]
    error_ratio: float | None
    by_events: int

    def as_dict(self) -> dict[str, float | str | None]:
        """For a file."""
        return {
            "rate_per_s": self.rate_per_s,
            "policy": self.policy,
            **self.found,
            "error_ratio": self.error_ratio,
            "by_events": self.by_events,
        }


def rows(rounds: Sequence[VllmRound], slo: Slo) -> list[Row]:
    """By rate, and then in the order in which the policies came."""
    keys = dict.fromkeys((one.rate_per_s, one.policy) for one in rounds)
    made = []
    for rate_per_s, policy in sorted(keys, key=lambda key: key[0]):
        mine = [one for one in rounds if (one.rate_per_s, one.policy) == (rate_per_s, policy)]
        errors = [one.knowledge.error_ratio for one in mine if one.knowledge.error_ratio is not None]
        made.append(
            Row(
                rate_per_s,
                policy,
                figures(PeerRow(policy, [one.measured for one in mine]), slo),
                statistics.fmean(errors) if errors else None,
                min(one.knowledge.by_events for one in mine),
            )
        )
    return made


def table(found: Sequence[Row]) -> str:
    """One line for each policy at each rate."""
    lines = [list(HEADS)]
    lines += [_line(row) for row in found]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEADS))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _line(row: Row) -> list[str]:
    return [
        f"{row.rate_per_s:.1f}",
        row.policy,
        _share(row.found["hit_ratio"]),
        *(_text(row.found[name], " ms") for name in ("ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms")),
        _share(row.found["attainment"]),
        _text(row.found["goodput_per_s"]),
        _text(row.found["spread"], "x", 2),
        _share(row.error_ratio),
        str(row.by_events),
    ]


def _text(value: float | None, unit: str = "", digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
