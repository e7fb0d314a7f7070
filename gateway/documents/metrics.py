"""`docs/metrics.md`: every family with its labels, its meaning, and the alert or panel of the chart that has it."""

from __future__ import annotations

import importlib
import json
import pathlib
import re
from typing import Any, Final, NamedTuple

import yaml

from gateway.telemetry.metrics import families
from gateway.telemetry.metrics.families import BY_NAME
from gateway.telemetry.metrics.family import Family

_HEAD = """# Metrics

<!-- Made by `python -m gateway.documents`; what is said here is said in gateway/telemetry/metrics/families. -->

`GET /metrics` is Prometheus text, merged over all workers. Unless you say otherwise it needs no key: `server.metrics:
key` asks for one, and `admin.listen` serves it at a port of its own
([operations.md](operations.md#a-port-for-administering)). Labels are bounded by the configuration: a model that nobody
configured counts as `other`. TTFT and TPOT are service times, without the client's network.

## The first six

| question | ask Prometheus |
|---|---|
"""

FIRST: Final = (
    ("How many requests a second, by model?", "sum by (model) (rate(penstock_requests_total[5m]))"),
    (
        "What part of them fails by our or an engine's fault?",
        'sum(rate(penstock_requests_total{code=~"5.."}[5m])) / sum(rate(penstock_requests_total[5m]))',
    ),
    (
        "How long until the first token, at the 99th percentile?",
        "histogram_quantile(0.99, sum by (model, le) (rate(penstock_time_to_first_token_seconds_bucket[5m])))",
    ),
    (
        "How long a whole answer?",
        "histogram_quantile(0.99, sum by (model, le) (rate(penstock_request_duration_seconds_bucket[5m])))",
    ),
    ("How many replicas can answer, by engine?", 'sum by (engine) (penstock_replicas{state="ready"})'),
    ("What does it cost an hour, in dollars?", "sum by (model) (rate(penstock_cost_usd_total[1h])) * 3600"),
)
"""What a dashboard begins with: a question, and the PromQL that answers it."""

_BEFORE_GROUPS: Final = """
The last column names the alert in `helm/penstock/rules` that asks for a metric, or else the panel of a dashboard in
`helm/penstock/dashboards` that shows it. What has neither answers the question of its section, after an alert.
"""

_ROWS: Final = """
| metric | type | labels | meaning | asked for by |
|---|---|---|---|---|
"""


class Group(NamedTuple):
    """A section of the page."""

    title: str
    question: str
    """What one looks here for."""
    modules: tuple[str, ...]
    """Of `gateway.telemetry.metrics.families`, in the order to be read."""


GROUPS: Final = (
    Group("Requests", "What clients get, how fast, and what it takes.", ("requests", "latency", "usage", "spending")),
    Group(
        "Second chances",
        "Why an answer came late, or from elsewhere than usual: attempts that were repeated, doubled or taken over.",
        ("retries", "hedges", "continuations"),
    ),
    Group("Room", "Why requests wait, or were refused for want of room.", ("admission", "prompts")),
    Group(
        "Replicas",
        "Which replica takes nothing, why, and how full the others are.",
        ("replicas", "ejections", "engine_load", "scaling"),
    ),
    Group(
        "Prefix caches",
        "Whether prompts go where their beginning is cached, and whether we know that well.",
        ("prefix_hits", "prefix_predictions", "prefix_news"),
    ),
    Group(
        "Experiments, releases, drift",
        "What a new version does to whom, and whether the old one still is what it was.",
        ("experiments", "releases", "shadows", "evaluations", "feedback", "drift"),
    ),
    Group("Records", "Whether what is kept of requests is whole.", ("records", "contents")),
    Group(
        "The gateway itself",
        "Whether this process, its loops and its peers are well.",
        ("build", "configuration", "loops", "peers", "process"),
    ),
)


def page(rules: pathlib.Path) -> str:
    """The page. `rules` is the folder of the alerting rules; the dashboards lie beside it."""
    alerts = alerts_of([yaml.safe_load(file.read_text()) for file in sorted(rules.glob("*.yaml"))])
    dashboards = [json.loads(file.read_text()) for file in sorted((rules.parent / "dashboards").glob("*.json"))]
    panels = panels_of(dashboards)
    parts = [_HEAD, *[f"| {question} | `{_in_a_cell(asked)}` |\n" for question, asked in FIRST], _BEFORE_GROUPS]
    for group in GROUPS:
        parts.append(f"\n## {group.title}\n\n{group.question}\n{_ROWS}")
        for family in (family for module in group.modules for family in families_of(module)):
            labels = ", ".join(f"`{label}`" for label in family.labels)
            asked = ", ".join(f"`{name}`" for name in alerts.get(family.name, ())) or panels.get(family.name, "")
            parts.append(f"| `{family.name}` | {family.type} | {labels} | {_in_a_cell(family.text)} | {asked} |\n")
    return "".join(parts)


def families_of(module: str) -> tuple[Family, ...]:
    """What a module of `gateway.telemetry.metrics.families` declares."""
    found: tuple[Family, ...] = importlib.import_module(f"{families.__name__}.{module}").FAMILIES
    return found


def panels_of(dashboards: list[Any]) -> dict[str, str]:
    """By metric, the first panel that shows it, as `dashboard: panel`."""
    found: dict[str, str] = {}
    for dashboard in dashboards:
        waiting = list(dashboard["panels"])
        while waiting:
            panel = waiting.pop(0)
            waiting = [*panel.get("panels", ()), *waiting]
            for target in panel.get("targets", ()):
                for metric in sorted(_metrics(target.get("expr", ""))):
                    found.setdefault(metric, f"{dashboard['title']}: {panel['title']}")
    return found


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|")


def alerts_of(documents: list[Any]) -> dict[str, list[str]]:
    """By metric, the alerts whose expression asks for it, by way of recording rules too."""
    rules = [
        rule
        for document in documents
        for group in document.get("groups") or document.get("spec", {}).get("groups", [])
        for rule in group["rules"]
    ]
    recorded = {rule["record"]: _metrics(rule["expr"]) for rule in rules if "record" in rule}
    found: dict[str, list[str]] = {}
    for rule in rules:
        if "alert" not in rule:
            continue
        asked = _metrics(rule["expr"])
        for name, metrics in recorded.items():
            if name in rule["expr"]:
                asked |= metrics
        for metric in sorted(asked):
            found.setdefault(metric, []).append(rule["alert"])
    return found


def _metrics(expression: str) -> set[str]:
    """The families that an expression names, by a histogram's parts too."""
    names = re.findall(r"[a-z_:][a-z0-9_:]*", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) if name not in BY_NAME else name for name in names} & set(BY_NAME)
