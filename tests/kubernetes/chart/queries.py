"""PromQL as far as names go: which metrics a query asks for, and by which labels it selects."""

from __future__ import annotations

import re

from gateway.telemetry.metrics.families import BY_NAME
from tests.kubernetes.chart import vllm_metrics

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_METRIC = re.compile(r"\b((?:penstock_|process_|vllm:)\w+|up)\b(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
OF_PROMETHEUS = frozenset({"job", "namespace", "pod", "instance", "penstock_dev_engine"})
"""Labels that a scrape adds."""


def asked(query: str) -> list[tuple[str, frozenset[str]]]:
    """Each metric that a query names, with the labels in its selector."""
    bare = _STRING.sub('""', query)
    return [(name, frozenset(_LABEL.findall(selector or ""))) for name, selector in _METRIC.findall(bare)]


def unknown(query: str) -> list[str]:
    """What nobody tells: metrics, and labels that a metric does not have."""
    found = []
    for name, labels in asked(query):
        known = labels_of(name)
        if known is None:
            found.append(name)
        else:
            found += [f"{name}{{{label}}}" for label in sorted(labels - known - OF_PROMETHEUS)]
    return found


def labels_of(name: str) -> frozenset[str] | None:
    """None where nobody tells of such a metric."""
    if name == "up":
        return frozenset()
    if name in vllm_metrics.METRICS:
        return vllm_metrics.LABELS
    if name in BY_NAME:
        return None if BY_NAME[name].type == "histogram" else frozenset(BY_NAME[name].labels)
    base, _, part = name.rpartition("_")
    if part in ("bucket", "count", "sum") and base in BY_NAME and BY_NAME[base].type == "histogram":
        return frozenset({*BY_NAME[base].labels, *(["le"] if part == "bucket" else [])})
    return None
