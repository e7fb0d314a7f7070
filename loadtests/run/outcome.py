"""From a run to its report: the records as columns, judged, summed up, and written beside them.

`report.json` and `report.html` are made of nothing but what the run's directory holds, so that an old run can be
reported again by a newer version.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from loadtests.report.html import write_html
from loadtests.report.json import write_report
from loadtests.report.model import Report, build_report
from loadtests.run.facts import facts, title
from loadtests.run.run import RunResult
from loadtests.schedule.arrivals import Ramp, Replay
from loadtests.statistics.columns import Columns, columns
from loadtests.statistics.honesty import Floor
from loadtests.statistics.window import Window, fixed_window


def window_of(result: RunResult, warmup_s: float | None) -> Window | None:
    """The window to count; None: look for the steady one. A load that drifts on purpose is counted whole."""
    if warmup_s is not None:
        return fixed_window(result.started_ns, result.ran_s, warmup_s)
    if result.plan.open_loop and isinstance(result.plan.arrivals, Ramp | Replay):
        return fixed_window(result.started_ns, result.ran_s)
    return None


def scheduled(result: RunResult) -> Columns:
    """The records as columns."""
    return columns(result.records)


def report_of(
    result: RunResult, *, floor: Floor | None = None, warmup_s: float | None = None, name: str = "", created: str = ""
) -> Report:
    """Judge and sum up a run; `warmup_s` None lets the warm-up be found. Raises ValueError for one that is too long."""
    plan = result.plan
    said = facts(plan)
    if result.stopped:
        said["Stopped"] = f"early, after {result.ran_s:.1f} s"
    return build_report(
        scheduled(result),
        title=name or title(plan),
        created=created or datetime.now(UTC).isoformat(timespec="seconds"),
        facts=said,
        started_ns=result.started_ns,
        duration_s=result.ran_s,
        open_loop=plan.open_loop,
        slo=plan.slo,
        window=window_of(result, warmup_s),
        chunk_gaps=result.chunk_gaps(),
        workers=result.loads(),
        floor=floor,
        examples=examples(result),
    )


def examples(result: RunResult) -> dict[str, str]:
    """For each kind of failure, what the target said the first time; kinds without a word are left out."""
    found: dict[str, str] = {}
    for record in result.records:
        if record.said:
            found.setdefault(record.error, record.said)
    return found


def write(report: Report, out: Path) -> None:
    """`report.json` and `report.html`, each whole or not at all."""
    write_report(report, out / "report.json")
    write_html(report, out / "report.html")
