"""Find the highest request rate that meets the SLO: double until it fails, then bisect.

A probe passes when the Wilson interval of its attainment lies at or above the wanted share, and fails when it lies
below; in between it is repeated and the counts are added, and what still cannot be shown to pass does not pass. A probe
whose backlog grows is hopeless and is stopped early. A probe that the client itself could not drive says nothing of the
target: the search stops rising there and says so. The probe is a callable, so the search runs in virtual time in tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from loadtests.statistics.intervals import Proportion, Z, wilson

WANTED_ATTAINMENT = 0.95

Outcome = Literal["pass", "fail", "undecided", "backlog", "client"]


class Probed(msgspec.Struct, frozen=True):
    """What a run at one rate found. `valid` is the honesty verdict; `aborted`: the backlog watch stopped it."""

    good: int
    scheduled: int
    duration_s: float
    aborted: bool = False
    valid: bool = True
    reasons: list[str] = []
    ttft_p50_s: float | None = None
    ttft_p99_s: float | None = None
    tpot_p99_s: float | None = None
    e2e_p99_s: float | None = None


class Probe(Protocol):
    """Run the load at `rate` per second. Call `backlog.grows(t_s, in_flight)` each second or so; stop when it is true.

    `attempt` counts repetitions at one rate from 0: use it in the seed, or the repetition is the same schedule.
    """

    def __call__(self, rate: float, attempt: int, backlog: BacklogWatch) -> Probed: ...


class BacklogWatch:
    """Says whether requests pile up: the slope of in-flight over the later half of the samples, with its interval.

    Offered `rate` and served less, the requests in flight grow by the difference each second. Surely more than the
    share that the SLO may lose means that this rate cannot be held. Never said before `settle_s`: the pipe is filling.
    """

    def __init__(self, rate: float, settle_s: float = 5.0, growth_ratio: float = 1 - WANTED_ATTAINMENT) -> None:
        self._limit_per_s = rate * growth_ratio
        self._settle_s = settle_s
        self._samples: list[tuple[float, int]] = []

    def grows(self, t_s: float, in_flight: int) -> bool:
        """Add a sample, `t_s` seconds after the start; whether the backlog now grows beyond doubt."""
        self._samples.append((t_s, in_flight))
        if t_s < self._settle_s:
            return False
        later = [sample for sample in self._samples if sample[0] >= t_s / 2]
        count = len(later)
        if count < 5:
            return False
        mean_t = sum(t for t, _ in later) / count
        mean_n = sum(n for _, n in later) / count
        spread_t = sum((t - mean_t) ** 2 for t, _ in later)
        slope = sum((t - mean_t) * (n - mean_n) for t, n in later) / spread_t
        residual = sum((n - mean_n - slope * (t - mean_t)) ** 2 for t, n in later)
        error = math.sqrt(residual / (count - 2) / spread_t)
        return slope - Z * error > self._limit_per_s


class Point(msgspec.Struct, frozen=True):
    """One rate of the curve, its repetitions added up; latencies are those of the last repetition."""

    rate: float
    outcome: Outcome
    attainment: Proportion
    goodput_per_s: float
    repetitions: int
    last: Probed


class Found(msgspec.Struct, frozen=True):
    """The answer and the whole curve, by rate. `highest` is None when not even the lowest rate tried passed."""

    highest: float | None
    limited_by: Literal["target", "client", "max_rate"]
    knee: float | None
    """The rate with the most goodput; past it, more load serves fewer users."""
    wanted: float
    points: list[Point]


def search(
    probe: Probe,
    *,
    start: float,
    min_rate: float = 0.1,
    max_rate: float = 100_000.0,
    wanted: float = WANTED_ATTAINMENT,
    resolution_ratio: float = 0.05,
    repetitions: int = 3,
    settle_s: float = 5.0,
    on_point: Callable[[Point], None] = lambda _point: None,
) -> Found:
    """Search upwards from `start` requests/s until the passing and the failing rate are within `resolution_ratio`.

    `repetitions` bounds the probes at one rate, `settle_s` is the least time before a backlog is judged (stretched to
    twice the p99 end-to-end time seen so far). `on_point` is called with each rate as it is decided.
    """
    if not 0 < min_rate <= start <= max_rate:
        raise ValueError(f"the rates must be in order: 0 < {min_rate} <= {start} <= {max_rate}")
    if not 0 < wanted < 1 or resolution_ratio <= 0 or repetitions < 1:
        raise ValueError("attainment lies between 0 and 1, resolution above 0, and a rate is probed at least once")
    points: dict[float, Point] = {}
    settle = settle_s

    def passes(rate: float) -> bool:
        nonlocal settle
        point = _decide(probe, rate, wanted, repetitions, settle)
        points[rate] = point
        if point.outcome == "pass" and point.last.e2e_p99_s is not None:
            settle = max(settle, 2 * point.last.e2e_p99_s)
        on_point(point)
        return point.outcome == "pass"

    low, high = _bracket(passes, start, min_rate, max_rate)
    if low is not None:
        while high is not None and high > low * (1 + resolution_ratio):
            middle = (low + high) / 2
            low, high = (middle, high) if passes(middle) else (low, middle)
    curve = sorted(points.values(), key=lambda point: point.rate)
    limited_by: Literal["target", "client", "max_rate"] = "target"
    if high is None:
        limited_by = "max_rate"
    elif points[high].outcome == "client":
        limited_by = "client"
    best = max(curve, key=lambda point: point.goodput_per_s)
    return Found(low, limited_by, best.rate if best.goodput_per_s else None, wanted, curve)


def _bracket(
    passes: Callable[[float], bool], start: float, min_rate: float, max_rate: float
) -> tuple[float | None, float | None]:
    """A rate that passes and a higher one that does not; None for the one that does not exist within the limits."""
    if passes(start):
        low = start
        while low < max_rate:
            doubled = min(2 * low, max_rate)
            if not passes(doubled):
                return low, doubled
            low = doubled
        return low, None
    high = start
    while high > min_rate:
        halved = max(high / 2, min_rate)
        if passes(halved):
            return halved, high
        high = halved
    return None, high


def _decide(probe: Probe, rate: float, wanted: float, repetitions: int, settle_s: float) -> Point:
    good = scheduled = 0
    duration_s = 0.0
    outcome: Outcome = "client"
    last: Probed | None = None
    for attempt in range(repetitions):
        probed = probe(rate, attempt, BacklogWatch(rate, settle_s, 1 - wanted))
        if not probed.valid and not probed.aborted:
            last = last or probed
            continue  # a neighbour on the machine may have caused it: another try, and none of its counts
        last = probed
        good, scheduled, duration_s = good + probed.good, scheduled + probed.scheduled, duration_s + probed.duration_s
        attainment = wilson(good, scheduled)
        if probed.aborted:
            outcome = "backlog"
        elif attainment.low >= wanted:
            outcome = "pass"
        elif attainment.high < wanted:
            outcome = "fail"
        else:
            outcome = "undecided"
            continue
        break
    assert last is not None  # repetitions is at least 1
    goodput = good / duration_s if duration_s else 0.0
    return Point(rate, outcome, wilson(good, scheduled), goodput, attempt + 1, last)


def curve_table(found: Found) -> str:
    """The whole curve as text, one line per rate, and the answer under it."""
    lines = [
        f"{'rate/s':>10} {'attained':>9} {'95 % interval':>17} {'goodput/s':>10} {'TTFT p50':>10} {'TTFT p99':>10}"
        f" {'TPOT p99':>10}  outcome"
    ]
    for point in found.points:
        attained = point.attainment
        ratio = "-" if attained.ratio is None else f"{attained.ratio:.2%}"
        interval = f"{attained.low:.2%} - {attained.high:.2%}"
        last = point.last
        lines.append(
            f"{point.rate:>10.2f} {ratio:>9} {interval:>17} {point.goodput_per_s:>10.2f} {_ms(last.ttft_p50_s):>10}"
            f" {_ms(last.ttft_p99_s):>10} {_ms(last.tpot_p99_s):>10}  {_said(point)}"
        )
    lines.append(_answer(found))
    return "\n".join(lines)


def _answer(found: Found) -> str:
    if found.highest is None:
        why = (
            "the client could not drive it"
            if found.limited_by == "client"
            else "the target missed it at every rate tried"
        )
        return f"No rate met the SLO at {found.wanted:.0%}: {why}."
    limit = {
        "target": "above it the target misses the SLO",
        "client": "above it the client, not the target, was the limit; give it more workers",
        "max_rate": "the highest rate allowed; the target may do more",
    }[found.limited_by]
    return f"Highest rate that meets the SLO at {found.wanted:.0%}: {found.highest:.2f}/s ({limit})."


def _said(point: Point) -> str:
    if point.outcome == "client":
        return "INVALID: " + "; ".join(point.last.reasons)
    said = {"backlog": "fail: backlog grows, stopped", "undecided": "fail: not shown to pass"}
    text = said.get(point.outcome, point.outcome)
    return text if point.repetitions == 1 else f"{text} (x{point.repetitions})"


def _ms(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1e3:.1f} ms"
