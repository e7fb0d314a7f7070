"""Charts as inline SVG that keep their shape at any width, with their text as HTML around them.

An SVG that scales with the page scales its text too, and is unreadable on a phone. So the drawing is a square of 1,000
units stretched to its box (`preserveAspectRatio="none"`, strokes that do not stretch), and ticks and labels are HTML at
percentages of the same box. No script is needed to read a chart; `data-hover` carries what the page's own script shows
under the pointer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

SIZE = 1000


@dataclass(frozen=True)
class Axis:
    """Values onto 0..SIZE. Ticks are `(value, label)`."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Position of a value, held inside the chart."""
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return SIZE * min(1.0, max(0.0, share))

    def percent(self, value: float) -> str:
        return f"{self.place(value) * 100 / SIZE:.2f}%"


def nice_ticks(high: float, wanted: int = 4) -> list[float]:
    """Round steps (1, 2, 2.5, 5 times a power of ten) from 0 to the first one at or above `high`."""
    if high <= 0:
        return [0.0, 1.0]
    raw = high / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    return [step * number for number in range(math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 per decade within the range, thinned to at most seven."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) <= 7:
        return inside
    return [tick for tick in inside if math.isclose(math.log10(tick) % 1, 0, abs_tol=1e-9)] or inside[::3]


@dataclass
class Chart:
    """One drawing being put together: shapes behind, marks in front, text at its edges."""

    x: Axis
    y: Axis
    label: str
    """What it shows, for who cannot see it."""
    shapes: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def line(self, xs: Sequence[float], ys: Sequence[float | None], style: str) -> None:
        """A line through the points, broken where y is None; a lone point is drawn as a dot."""
        for run in _runs(xs, ys):
            points = [f"{self.x.place(x):.1f} {self._y(y)}" for x, y in run]
            path = f"M{points[0]}h0" if len(points) == 1 else "M" + "L".join(points)
            self.shapes.append(f'<path class="{style}" d="{path}"/>')

    def band(
        self, xs: Sequence[float], lows: Sequence[float | None], highs: Sequence[float | None], style: str
    ) -> None:
        """The area between two lines, where both have a value."""
        top = [None if low is None else high for low, high in zip(lows, highs, strict=True)]
        bottom = {x: low for x, low in zip(xs, lows, strict=True) if low is not None}
        for run in _runs(xs, top):
            there = [f"{self.x.place(x):.1f} {self._y(y)}" for x, y in run]
            back = [f"{self.x.place(x):.1f} {self._y(bottom[x])}" for x, _ in reversed(run)]
            self.shapes.append(f'<path class="{style}" d="M{"L".join(there + back)}Z"/>')

    def steps(self, edges: Sequence[float], heights: Sequence[float], style: str, closed: bool) -> None:
        """A histogram's outline; `closed` ends it on the axis, to be filled."""
        path = [f"M{self.x.place(edges[0]):.1f} {self._y(0)}"] if closed else []
        for number, height in enumerate(heights):
            start = "L" if path else "M"
            path.append(
                f"{start}{self.x.place(edges[number]):.1f} {self._y(height)}H{self.x.place(edges[number + 1]):.1f}"
            )
        if closed:
            path.append(f"V{self._y(0)}Z")
        self.shapes.append(f'<path class="{style}" d="{"".join(path)}"/>')

    def bars(self, edges: Sequence[float], bottoms: Sequence[float], tops: Sequence[float], style: str) -> None:
        """One piece of a stacked bar per slice, as one path."""
        path = []
        for number, (bottom, top) in enumerate(zip(bottoms, tops, strict=True)):
            if top > bottom:
                left, right = self.x.place(edges[number]), self.x.place(edges[number + 1])
                path.append(f"M{left:.1f} {self._y(bottom)}V{self._y(top)}H{right:.1f}V{self._y(bottom)}Z")
        if path:
            self.shapes.append(f'<path class="{style}" d="{"".join(path)}"/>')

    def shade(self, start: float, end: float, text: str) -> None:
        """A region that does not count, named."""
        left, right = self.x.place(start), self.x.place(end)
        if right > left:
            self.shapes.insert(0, f'<path class="shade" d="M{left:.1f} 0H{right:.1f}V{SIZE}H{left:.1f}Z"/>')
            self.texts.append(f'<span class="region" style="left:{self.x.percent(start)}">{escape(text)}</span>')

    def mark(self, value: float, text: str) -> None:
        """A vertical line at x with its name on top."""
        at = self.x.place(value)
        self.shapes.append(f'<path class="mark" d="M{at:.1f} 0V{SIZE}"/>')
        side = " left" if at > 0.72 * SIZE else ""
        self.texts.append(f'<span class="marked{side}" style="left:{self.x.percent(value)}">{escape(text)}</span>')

    def limit(self, value: float, text: str) -> None:
        """A horizontal line at y, named; nothing when it lies outside."""
        if self.y.low < value <= self.y.high:
            self.shapes.append(f'<path class="limit" d="M0 {self._y(value)}H{SIZE}"/>')
            self.texts.append(f'<span class="limited" style="bottom:{self.y.percent(value)}">{escape(text)}</span>')

    def html(self, hover: dict[str, object] | None = None) -> str:
        """The chart in its frame."""
        grid = "".join(f"M0 {self._y(value)}H{SIZE}" for value, _ in self.y.ticks)
        y_labels = "".join(
            f'<span style="bottom:{self.y.percent(value)}">{escape(text)}</span>' for value, text in self.y.ticks
        )
        x_labels = "".join(
            f'<span style="left:{self.x.percent(value)}">{escape(text)}</span>' for value, text in self.x.ticks
        )
        data = f' data-hover="{escape(json.dumps(hover, ensure_ascii=False))}"' if hover else ""
        return (
            f'<div class="chart"><div class="y">{y_labels}</div><div class="plot"{data}>'
            f'<svg viewBox="0 0 {SIZE} {SIZE}" preserveAspectRatio="none" role="img" aria-label="{escape(self.label)}">'
            f'<path class="grid" d="{grid}"/>{"".join(self.shapes)}</svg>{"".join(self.texts)}</div>'
            f'<div class="x{" dense" if len(self.x.ticks) > 4 else ""}">{x_labels}</div></div>'
        )

    def _y(self, value: float) -> str:
        return f"{SIZE - self.y.place(value):.1f}"


def _runs(xs: Sequence[float], ys: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """The unbroken stretches of a line."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if y is not None:
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
