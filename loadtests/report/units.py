"""Numbers as people read them: three significant digits and always a unit, which no line end parts from it."""

from __future__ import annotations

from loadtests.statistics.intervals import Proportion

NBSP = "\u00a0"
NONE = "–"


def duration(value_s: float | None) -> str:
    """`812 µs`, `12.3 ms`, `1.23 s`, `125 s`; a dash for None."""
    if value_s is None:
        return NONE
    if value_s == 0:
        return f"0{NBSP}ms"
    size = abs(value_s)
    if size < 0.9995e-3:
        return f"{_three(value_s * 1e6)}{NBSP}µs"
    if size < 0.9995:
        return f"{_three(value_s * 1e3)}{NBSP}ms"
    return f"{_three(value_s)}{NBSP}s"


def between(low_s: float | None, high_s: float | None) -> str:
    """A range of durations, the unit once where both share it; an open side is 0 or ∞."""
    low, high = duration(low_s or 0.0), "∞" if high_s is None else duration(high_s)
    figure, _, unit = low.partition(NBSP)
    if unit == high.partition(NBSP)[2]:
        low = figure
    return f"{low} – {high}"


def exactly(value_s: float) -> str:
    """A round duration, such as a limit or a tick, without the digits that `duration` would pad it with: `50 ms`."""
    scale, unit = (1e6, "µs") if value_s < 0.9995e-3 else (1e3, "ms") if value_s < 0.9995 else (1.0, "s")
    return f"{float(f'{value_s * scale:.4g}'):,g}{NBSP}{unit}" if value_s else "0"


def rate(value: float | None, of: str = "") -> str:
    """`49.8/s`, `12,300 tok/s`; a dash for None."""
    if value is None:
        return NONE
    return f"{_three(value)}{NBSP}{of}/s" if of else f"{_three(value)}/s"


def share(value: float | None, digits: int = 1) -> str:
    """`97.4 %`. Never rounds a share below one up to 100 %, nor one above zero down to 0 %."""
    if value is None:
        return NONE
    text = f"{value * 100:.{digits}f}"
    if float(text) == 100 and value < 1:
        text = f"{100 - 10**-digits:.{digits}f}"
    elif float(text) == 0 and value > 0:
        return f"< {10**-digits:.{digits}f}{NBSP}%"
    return f"{text}{NBSP}%"


def interval(proportion: Proportion) -> str:
    """`95.9 – 98.3 %`."""
    return f"{proportion.low * 100:.1f} – {proportion.high * 100:.1f}{NBSP}%"


def number(value: int) -> str:
    return f"{value:,}"


def _three(value: float) -> str:
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}"
