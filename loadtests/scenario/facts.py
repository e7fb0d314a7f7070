"""What an expectation can speak of: the figures of a window of a run, and of the gateway beside it, by name."""

from __future__ import annotations

import re

import numpy as np

from loadtests.client.record import Record
from loadtests.statistics.columns import Columns
from loadtests.statistics.slo import Slo
from loadtests.statistics.spread import Spread
from loadtests.statistics.summary import summarise
from loadtests.statistics.window import Window

Facts = dict[str, float | None]
_SAMPLE = re.compile(r"^([\w:]+)(?:\{([^}]*)\})? (\S+)", re.MULTILINE)
_LABEL = re.compile(r'\w+="((?:[^"\\]|\\.)*)"')
WARM_UP_SHARE = 0.2
"""Memory grows while a process meets everything for the first time; its slope is taken from here on."""


def of_window(run: Columns, records: list[Record], window: Window, slo: Slo) -> Facts:
    """Figures of the requests scheduled in `window`. Times in ms; a figure of nothing is None."""
    summary = summarise(run, window, slo)
    facts: Facts = {
        "scheduled": summary.scheduled,
        "answered": summary.answered,
        "failed": summary.failed,
        "failed_ratio": summary.failed / summary.scheduled if summary.scheduled else None,
        "attainment": summary.attainment.ratio,
        "goodput_per_s": summary.goodput_per_s,
        "dropped": summary.dropped,
        "retried": summary.retried,
        "tokens_unknown": summary.tokens.unknown,
        "cached_ratio": summary.tokens.cached_ratio,
        "retry_after_missing": _without_retry_after(records, window),
        "refusal_ms": _refusal_ms(run.take(window.scheduled(run))),
    }
    spreads = {
        "ttft": summary.ttft_response,
        "tpot": summary.tpot,
        "e2e": summary.e2e_response,
        "stall": summary.stall,
    }
    for name, spread in spreads.items():
        facts |= _quantiles(name, spread)
    facts |= {f"errors.{kind}": count for kind, count in summary.errors.items()}
    facts |= {f"statuses.{status}": count for status, count in summary.statuses.items()}
    for by, splits in summary.splits.items():
        facts |= {f"{by}.{split.name}": split.scheduled for split in splits if split.name}
    return facts


def _quantiles(name: str, spread: Spread | None) -> Facts:
    return {
        f"{name}_p{round(q * 100)}_ms": None if spread is None else spread.at(q) * 1e3 for q in (0.5, 0.95, 0.99)
    } | {f"{name}_max_ms": None if spread is None else spread.max_s * 1e3}


def _without_retry_after(records: list[Record], window: Window) -> int:
    """Refusals with 429 or 503 that do not say when to come again."""
    return sum(
        record.status in (429, 503) and record.retry_after_s is None
        for record in records
        if window.start_ns <= record.ti < window.end_ns
    )


def _refusal_ms(run: Columns) -> float | None:
    """The p99 of the time that a 429 or 503 took, from the actual send."""
    refused = (run.status == 429) | (run.status == 503)
    took_s = run.e2e_service_s[refused]
    took_s = took_s[~np.isnan(took_s)]
    return float(np.quantile(took_s, 0.99, method="inverted_cdf") * 1e3) if len(took_s) else None


def of_metrics(text: str) -> Facts:
    """`metrics.NAME`, summed over all labels, and `metrics.NAME:VALUE` for each value of a label, of a scrape."""
    facts: dict[str, float] = {}
    for name, labels, value in _SAMPLE.findall(text):
        keys = [f"metrics.{name}", *(f"metrics.{name}:{label}" for label in set(_LABEL.findall(labels)))]
        for key in keys:
            facts[key] = facts.get(key, 0.0) + float(value)
    return dict(facts)


def of_memory(samples: list[tuple[float, int]], duration_s: float) -> Facts:
    """Growth of resident memory over `(seconds, bytes)` samples, the first fifth of the run left out."""
    later = [(t, size) for t, size in samples if WARM_UP_SHARE * duration_s <= t <= duration_s]
    if len(later) < 3:
        return {"gateway_rss_mib": None, "gateway_rss_growth_mib": None, "gateway_rss_kib_per_min": None}
    at_s, sizes = np.array(later, dtype=np.float64).T
    slope = np.polyfit(at_s, sizes, 1)[0]
    return {
        "gateway_rss_mib": float(sizes.max()) / 2**20,
        "gateway_rss_growth_mib": float(max(size for _, size in samples) - samples[0][1]) / 2**20,
        "gateway_rss_kib_per_min": float(slope) * 60 / 1024,
    }
