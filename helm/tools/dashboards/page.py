"""A dashboard as rows of panels, and Grafana's JSON of it.

Every query is selected by the variables `job` and `namespace`, so one dashboard serves every release; `SHORT` has what
queries here write for selectors and ranges.
What each gateway did itself is summed over pods; what they all tell of the same engines is taken once, by `max`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

SELECTED = 'job=~"$job",namespace=~"$namespace"'
SHORT = {
    "$S": SELECTED,
    "$M": 'model=~"$model"',
    "$E": 'engine=~"$engine"',
    "$X": 'model=~"$model",experiment=~"$experiment"',
    "$R": "[$__rate_interval]",
}
_SHORT = re.compile(r"\$[SMEXR](?!\w)")
WIDTH = 24
HEIGHT = 8


@dataclass(frozen=True)
class Panel:
    """One graph: `queries` are (PromQL with `$S`, legend)."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    text: str = ""
    kind: str = "timeseries"


@dataclass(frozen=True)
class Page:
    """`variables` are (name, metric, label): what may be chosen at the top."""

    name: str
    title: str
    text: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    variables: tuple[tuple[str, str, str], ...] = (("model", "penstock_requests_total", "model"),)


def text(page: Page) -> str:
    """The file."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in page.rows:
        panels.append(
            {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _place(0, top, WIDTH, 1)}
        )
        width = WIDTH // len(row)
        panels += [_panel(panel, _place(index * width, top + 1, width, HEIGHT)) for index, panel in enumerate(row)]
        top += 1 + HEIGHT
    whole = {
        "uid": f"penstock-{page.name}",
        "title": f"Penstock / {page.title}",
        "description": page.text,
        "tags": ["penstock"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [
            {"type": "dashboards", "tags": ["penstock"], "title": "Penstock", "asDropdown": True, "keepTime": True}
        ],
        "templating": {"list": _variables(page)},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }
    return json.dumps(whole, indent=1) + "\n"


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "gridPos": place,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}}
        if panel.kind == "timeseries"
        else {},
        "targets": [
            {"refId": chr(65 + index), "expr": _SHORT.sub(lambda found: SHORT[found[0]], query), "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def _variables(page: Page) -> list[dict[str, Any]]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "source"}
    chosen = [("namespace", "penstock_build_info", "namespace"), ("job", "penstock_build_info", "job")]
    found = [_choice(name, f"label_values({metric}, {label})") for name, metric, label in chosen]
    found += [_choice(name, f"label_values({metric}{{{SELECTED}}}, {label})") for name, metric, label in page.variables]
    return [source, *found]


def _choice(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": name},
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }


def quantiles(metric: str, by: str, selected: str, legend: str) -> tuple[tuple[str, str], ...]:
    """p50, p95 and p99 of a histogram."""
    return tuple(
        (
            f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{{$S,{selected}}}$R)))",
            f"p{name} {legend}",
        )
        for name, share in (("50", 0.5), ("95", 0.95), ("99", 0.99))
    )
