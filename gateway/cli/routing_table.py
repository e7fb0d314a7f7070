"""An explanation of `/admin/v1/routing/explain` as text: a table of the replicas, and a line for each decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Told = Mapping[str, Any]

TERMS: Final = (
    "queue",
    "foreign",
    "load",
    "failures",
    "prefill",
    "others",
    "eviction",
    "affinity",
    "start",
    "price",
    "lateness",
)
"""In the order of the sum; a column that no replica needs is left out."""
UNKNOWN: Final = "-"


def table(told: Told) -> str:
    """All workers, one after the other."""
    workers: Sequence[Told] = told["workers"]
    parts = []
    for worker in workers:
        title = f"model {told['model']}" + (f", worker {worker['worker']}" if len(workers) > 1 else "")
        parts.append(title + "\n" + (worker["problem"] + "\n" if worker.get("problem") else _worker(worker)))
    return "\n".join(parts)


def _worker(worker: Told) -> str:
    size = f"{worker.get('prompt_tokens', 0)} prompt and {worker.get('output_tokens', 0)} output tokens"
    of = f"arm {worker['arm']}, " if worker.get("arm") else ""
    lines = [f"{of}policy {worker['policy']}; a request of {size}:"]
    where = f"{worker['engine']}/{worker['replica']}" if worker.get("replica") else "nowhere"
    would = "be refused" if worker.get("refused") else f"go to {where}"
    lines.append(f"  would {would}: {worker['reason']}")
    if worker.get("queued_requests"):
        lines.append(f"  {worker['queued_requests']} requests of {worker['queued_tokens']} tokens wait in the gateway")
    candidates: Sequence[Told] = worker.get("candidates", ())
    loads: Sequence[Told] = worker.get("loads", ())
    chosen = worker.get("engine"), worker.get("replica")
    text = "\n".join(lines) + "\n\n" + _columns(_rows(candidates, loads, chosen)) + "\n" + _columns(_load_rows(loads))
    decisions: Sequence[Told] = worker.get("decisions", ())
    if not decisions:
        return text + "\nno decisions recorded yet; they are for a minute from now on\n"
    return text + "\nthe last decisions\n" + _columns([_decision(one) for one in decisions])


def _rows(candidates: Sequence[Told], loads: Sequence[Told], chosen: tuple[Any, Any]) -> list[list[str]]:
    used = [term for term in TERMS if any(term in one.get("terms_ms", {}) for one in candidates)]
    rows = [["", "replica", "tier", "state", "cached", "cost ms", *[f"{term}" for term in used]]]
    for one in candidates:
        terms = one.get("terms_ms", {})
        rows.append(
            [
                ">" if (one["engine"], one["replica"]) == chosen else "",
                f"{one['engine']}/{one['replica']}",
                str(one["tier"]),
                _state(one),
                _told(one.get("cached_tokens")),
                _ms(one.get("cost_ms")),
                *[_ms(terms.get(term, 0.0)) for term in used],
            ]
        )
    return rows


def _load_rows(loads: Sequence[Told]) -> list[list[str]]:
    rows = [["", "replica", "requests", "tokens", "others", "running", "waiting", "KV", "ms/token", "base ms", "rates"]]
    for one in loads:
        usage = one.get("engine_kv_usage_ratio")
        rows.append(
            [
                "",
                f"{one['engine']}/{one['replica']}",
                str(one["requests"]),
                str(one["tokens"]),
                str(one.get("other_workers_requests", 0)),
                _told(one.get("engine_running")),
                _told(one.get("engine_waiting")),
                UNKNOWN if usage is None else f"{usage:.0%}",
                f"{one.get('prefill_ms_per_token', 0.0):.4g}",
                _ms(one.get("prefill_base_ms", 0.0)),
                "learned" if one.get("rates_learned") else "assumed",
            ]
        )
    return rows


def _decision(one: Told) -> list[str]:
    first: Told = one["candidates"][0] if one["candidates"] else {}
    waited = f" after {one['waited_ms']:.0f} ms in line" if one.get("waited_ms") else ""
    return [
        "",
        one["time"],
        one["request_id"],
        f"#{one['attempt']}",
        f"{one['engine']}/{one['replica']}",
        f"{one['prompt_tokens']}+{one['output_tokens']}",
        f"{_told(first.get('cached_tokens'))} cached",
        f"{_ms(first.get('cost_ms'))} ms",
        (f"arm {one['arm']}: " if one.get("arm") else "") + one["reason"] + waited,
    ]


def _state(one: Told) -> str:
    if one.get("passed_over"):
        return f"passed over: {one['passed_over']}"
    return f"{one['state']}, full" if one.get("full") else str(one["state"])


def _told(value: Any) -> str:
    return UNKNOWN if value is None else str(value)


def _ms(value: Any) -> str:
    return UNKNOWN if value is None else f"{value:.1f}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Aligned, numbers to the right."""
    if not rows:
        return ""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if _number(cell) else cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def _number(cell: str) -> bool:
    return cell == UNKNOWN or cell.rstrip("%").replace(".", "", 1).lstrip("-").isdigit()
