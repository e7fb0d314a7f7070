"""The report of drift as one page that needs nothing else, readable in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

WIDTH: Final = 168
HEIGHT: Final = 28

STYLE: Final = """
:root { color-scheme: light dark; --line: #0a6; --edge: #ccc; --bad: #b30000; --dim: #666; }
@media (prefers-color-scheme: dark) { :root { --line: #4d9; --edge: #444; --bad: #ff8080; --dim: #aaa; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin-bottom: 1rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--edge); vertical-align: middle; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.drift { color: var(--bad); font-weight: 600; } .dim { color: var(--dim); }
polyline { fill: none; stroke: var(--line); stroke-width: 1.5; }
"""


def page(report: dict[str, Any]) -> str:
    """HTML of what `/admin/v1/drift` answers."""
    through = report["through"]
    said = f"As of {escape(through)}" if through else "No hour was judged yet."
    body = "".join(_entry(entry) for entry in report["data"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Drift</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>Drift</h1><p>{said}</p>{body}</body></html>\n"
    )


def _entry(entry: dict[str, Any]) -> str:
    name = " · ".join(escape(entry[part]) for part in ("model", "arm", "route") if entry[part])
    reference = entry["reference"]
    span = f"{escape(reference['why'])}: {escape(reference['since'])} to {escape(reference['until'])}"
    heads = ("signal", "state", "reference", "last hour", "PSI", "moved by sd", "evidence", "last week")
    head = "".join(f"<th>{one}</th>" for one in heads)
    rows = "".join(_row(one) for one in entry["signals"])
    alarms = "".join(
        f"<li><time>{escape(alarm['time'])}</time> {escape(alarm['sentence'])}</li>" for alarm in entry["alarms"]
    )
    told = f"<ul>{alarms}</ul>" if alarms else '<p class="dim">No alarm.</p>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h2>{name}</h2><p class="dim">Compared with {span}</p>{table}{told}'


def _row(one: dict[str, Any]) -> str:
    rate = one["evidence"] is not None
    current, distance = (one["value"], None) if rate else (one["current"], one["value"])
    state = escape(one["state"])
    kind = ' class="drift"' if one["state"] == "drift" else ' class="dim"' if one["why"] else ""
    numbers = (one["reference"], current, distance, one["shift_sd"], one["evidence"])
    cells = "".join(f'<td class="number">{_number(value)}</td>' for value in numbers)
    why = f' title="{escape(one["why"])}"' if one["why"] else ""
    drawn = _line([value for _, value in one["history"]])
    return f"<tr><td>{escape(one['signal'])}</td><td{kind}{why}>{state}</td>{cells}<td>{drawn}</td></tr>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"


def _line(values: Sequence[float]) -> str:
    """The values of the last hours, from left to right."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = WIDTH / (len(values) - 1)
    points = " ".join(
        f"{at * step:.1f},{HEIGHT - 2 - (value - low) / span * (HEIGHT - 4):.1f}" for at, value in enumerate(values)
    )
    label = f"from {low:,.4g} to {high:,.4g}"
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>'
        f'<polyline points="{points}"/></svg>'
    )
