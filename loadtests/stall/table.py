"""The holds that were found, against their bars, as text. Pure.

A bar is one of a certain machine; `scale` is what it is multiplied by on this one (see `yardstick`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

SMALL_MS, LIMIT_MS, STEP_MS = 5.0, 40.0, 2.0
"""Bars: for anything below 1 MiB, at the documented limits, and for a step of a change of the fleet."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the watched loop did while something happened, in thread CPU time; wall time is for information."""

    longest_cpu_ms: float
    longest_wall_ms: float
    cpu_s: float
    turns: int


@dataclass(slots=True)
class Row:
    """One cause; its longest hold is that of its worst repetition."""

    cause: str
    bar_ms: float
    readings: list[Reading] = field(default_factory=list)
    problem: str = ""

    @property
    def hold_ms(self) -> float:
        return max((one.longest_cpu_ms for one in self.readings), default=0.0)

    def ratio(self, scale: float) -> float:
        """The longest hold over the bar of this machine."""
        return self.hold_ms / (self.bar_ms * scale)

    def verdict(self, scale: float) -> str:
        if self.problem or not self.readings:
            return "INVALID"
        return "met" if self.ratio(scale) <= 1.0 else "MISSED"


def render(rows: Sequence[Row], scale: float) -> str:
    """A Markdown table with aligned columns, problems below."""
    lines = [["cause", "longest hold ms", "wall ms", "CPU s in all", "bar ms", "bar here ms", "ratio", "verdict"]]
    for row in rows:
        figures, ratio = ["-"] * 3, "-"
        if row.readings:
            wall_ms = max(one.longest_wall_ms for one in row.readings)
            figures = [f"{row.hold_ms:.1f}", f"{wall_ms:.1f}", f"{max(one.cpu_s for one in row.readings):.2f}"]
            ratio = f"{row.ratio(scale):.2f}"
        lines.append([row.cause, *figures, f"{row.bar_ms:g}", f"{row.bar_ms * scale:.1f}", ratio, row.verdict(scale)])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    text = []
    for line in [lines[0], rule, *lines[1:]]:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text + [f"{row.cause}: {row.problem}" for row in rows if row.problem])
