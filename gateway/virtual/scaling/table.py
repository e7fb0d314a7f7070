"""The comparison as it is printed: each case with its frontier, and what was to be reached."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.virtual.scaling.compare import OURS
from gateway.virtual.scaling.failures import Trial
from gateway.virtual.scaling.verdict import FEWER, Case, missed, ratio_of_all


def table(all_cases: Sequence[Case], trials: Sequence[Trial], seeds: int) -> str:
    """Everything, as text."""
    lines = [f"{'trace':14} {'start-up':>8}  {'rule':13} {'attainment':>10} {'replica-h':>9} {'changes':>8}  frontier"]
    for one in all_cases:
        on = {point.rule for point in one.frontier}
        for point in (one.ours, *sorted([*one.aims, *one.others], key=lambda point: -point.attainment)):
            head = f"{one.trace:14} {one.startup_s:6.0f} s" if point.rule == OURS else " " * 23
            mark = "*" if point.rule in on else ""
            figures = f"{point.attainment:10.4f} {point.replica_hours:9.2f} {point.changes:8.1f}"
            lines.append(f"{head}  {point.rule:13} {figures}  {mark}")
        best = one.best
        if best is not None:
            lines.append(f"{'':23}  {one.ratio:.2f} of the replica-hours of {best.rule}, the best that attains no more")
    lines.append("")
    lines.append(
        f"replica-hours, geometric mean of {len(all_cases)} cases: {ratio_of_all(all_cases):.3f} (bar: {FEWER})"
    )
    lines += [f"{'passes' if trial.passes else 'FAILS':6}  {trial.name}: {trial.seen}" for trial in trials]
    problems = missed(all_cases) + [f"fails: {trial.name}" for trial in trials if not trial.passes]
    lines += [f"missed: {problem}" for problem in problems] or ["everything that was to be reached is reached"]
    lines.append(f"seeds: {seeds}; a star: no other rule attains as much for as few replica-hours")
    return "\n".join(lines) + "\n"


def reached(all_cases: Sequence[Case], trials: Sequence[Trial]) -> bool:
    """Whether nothing was missed."""
    return not missed(all_cases) and all(trial.passes for trial in trials)
