"""The steady window of a run: requests *scheduled* inside it count, whatever became of them.

Ramp-up inside the window makes a target look slow, and a window that ends with the last answer makes it look fast or
slow by the drain. So the window ends with the schedule, and starts where latency stops drifting: the earliest cut, in
tenths of the run up to a half, from which the slope of TTFT over time has a 95 % interval that contains zero.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from loadtests.statistics.columns import Bools, Columns, Floats, Ints

SLICES = 20
"""Slices of a candidate window; the slope is fitted through their medians, which a few slow requests do not move."""

_T_975 = 2.101
"""Student's t, 97.5 %, 18 degrees of freedom: SLICES minus the two parameters of a line."""

MIN_SAMPLES = 10 * SLICES

NEGLIGIBLE_DRIFT_RATIO = 0.05
"""A slope that is significant but moves the median by under 5 % over the window is not warm-up: with many samples any
slope is significant."""

FIRST_SLICE_EXCESS_RATIO = 0.25
"""A first slice this much above the window's median is warm-up, even if one slice in twenty does not tilt the line."""

_CUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


class Window(msgspec.Struct, frozen=True):
    """Monotonic nanoseconds, start included, end not. `steady` is None when there were too few samples to tell."""

    start_ns: int
    end_ns: int
    steady: bool | None
    why: str

    @property
    def length_s(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    def scheduled(self, run: Columns) -> Bools:
        """Rows whose intended send lies in the window."""
        return np.asarray((run.ti >= self.start_ns) & (run.ti < self.end_ns))


def fixed_window(started_ns: int, duration_s: float, warmup_s: float = 0.0) -> Window:
    """The window of a run whose warm-up is given, not searched: a ramp, or a trace, drifts on purpose."""
    if not 0 <= warmup_s < duration_s:
        raise ValueError(f"a warm-up of {warmup_s} s leaves nothing of a run of {duration_s} s")
    start_ns = started_ns + round(warmup_s * 1e9)
    why = f"warm-up of {warmup_s:g} s set by hand" if warmup_s else "whole run, set by hand"
    return Window(start_ns, started_ns + round(duration_s * 1e9), None, why)


def steady_window(run: Columns, started_ns: int, duration_s: float) -> Window:
    """Find where the run is steady. If it never is, the whole run counts and `why` says that it drifts."""
    end_ns = started_ns + round(duration_s * 1e9)
    latency_s = np.where(np.isnan(run.ttft_response_s), run.e2e_response_s, run.ttft_response_s)
    counted = run.ok & (run.ti < end_ns)
    at_s = (run.ti[counted] - started_ns) / 1e9
    latency_s = latency_s[counted]
    if len(at_s) < MIN_SAMPLES:
        return Window(started_ns, end_ns, None, f"too few answers ({len(at_s)}) to look for a warm-up: the whole run")
    first_drift_ratio = 0.0
    for cut in _CUTS:
        start_s = cut * duration_s
        inside = at_s >= start_s
        medians = _medians(at_s[inside], latency_s[inside], start_s, duration_s)
        if medians is None:
            continue
        steady, drift_ratio = _is_steady(medians)
        if cut == 0.0:
            first_drift_ratio = drift_ratio
        if steady:
            why = "steady from the start" if cut == 0.0 else f"warm-up of {start_s:g} s left out"
            return Window(started_ns + round(start_s * 1e9), end_ns, True, why)
    drift = f"{first_drift_ratio * 100:+.0f} %"
    why = f"never steady: latency drifts by {drift} of its median over the run; the whole run counts"
    return Window(started_ns, end_ns, False, why)


def _medians(at_s: Floats, latency_s: Floats, start_s: float, end_s: float) -> Floats | None:
    """Median latency of each slice; None when a slice has fewer than three answers."""
    slices = np.minimum(((at_s - start_s) / (end_s - start_s) * SLICES).astype(np.int64), SLICES - 1)
    parts = sliced(slices, latency_s, SLICES)
    if min(map(len, parts)) < 3:
        return None
    return np.array([float(np.median(part)) for part in parts])


def sliced(at: Ints, values: Floats, slices: int) -> list[Floats]:
    """The values of each slice 0..slices-1. Records mostly come in schedule order; else they are put in order first."""
    if len(at) > 1 and bool((np.diff(at) < 0).any()):
        order = np.argsort(at, kind="stable")
        at, values = at[order], values[order]
    return np.split(values, np.searchsorted(at, np.arange(1, slices)))


def _is_steady(medians: Floats) -> tuple[bool, float]:
    """Whether the medians keep level, and the fitted drift over the window as a share of the overall median."""
    level = float(np.median(medians))
    if level <= 0:
        return True, 0.0
    x = np.arange(SLICES) - (SLICES - 1) / 2
    spread_x = float(x @ x)
    slope = float(x @ medians) / spread_x
    residual = medians - medians.mean() - slope * x
    error = math.sqrt(float(residual @ residual) / (SLICES - 2) / spread_x)
    drift_ratio = slope * (SLICES - 1) / level
    level_slope = abs(slope) <= _T_975 * error or abs(drift_ratio) < NEGLIGIBLE_DRIFT_RATIO
    return level_slope and medians[0] <= (1 + FIRST_SLICE_EXCESS_RATIO) * level, drift_ratio
