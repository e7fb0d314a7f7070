"""`docs/metrics.md`: every family with its labels, its meaning, and the alerts of the chart that ask for it."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import yaml

from gateway.telemetry.metrics.families import BY_NAME

_HEAD = """# Metrics

<!-- Made by `python -m gateway.documents`; what is said here is said in gateway/telemetry/metrics/families. -->

`GET /metrics` is Prometheus text, merged over all workers. Unless you say otherwise it needs no key: `server.metrics:
key` asks for one, and `admin.listen` serves it at a port of its own
([operations.md](operations.md#a-port-for-administering)). Labels are bounded by the configuration: a model that nobody
configured counts as `other`. TTFT and TPOT are service times, without the client's network.

The last column names the alert in `helm/penstock/rules` that asks for the metric, where one does. The others are for
dashboards and for the question after an alert.

| metric | type | labels | meaning | alert |
|---|---|---|---|---|
"""


def page(rules: pathlib.Path) -> str:
    """The page. `rules` is the folder of the alerting rules."""
    alerts = alerts_of([yaml.safe_load(file.read_text()) for file in sorted(rules.glob("*.yaml"))])
    rows = []
    for family in BY_NAME.values():
        labels = ", ".join(f"`{label}`" for label in family.labels)
        asked = ", ".join(f"`{name}`" for name in alerts.get(family.name, ()))
        text = family.text.replace("|", "\\|")
        rows.append(f"| `{family.name}` | {family.type} | {labels} | {text} | {asked} |\n")
    return _HEAD + "".join(rows)


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
