"""Two targets on one schedule: the difference per request, and how sure it is.

Comparing two percentiles of two runs compares two samples of the arrival process as well. Here request i is sent to
both targets at the same point of the same schedule, in short alternating rounds (a b, b a, a b, ...) so that a drift of
the machine falls on both, and what is reported is the difference between the two answers to the same request.

The intervals are 95 %, from a moving-block bootstrap (Künsch 1989): requests close in time share a queue, and
resampling them one by one would claim a certainty that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from typing import Literal

import msgspec
import numpy as np

from loadtests.statistics.columns import Columns, Floats, Ints
from loadtests.statistics.intervals import Proportion, nearest_rank, wilson
from loadtests.statistics.slo import Slo

RESAMPLES = 2000
_WORK = 20_000_000
"""Resamples times pairs, at most: 600,000 pairs get the minimum of 200 resamples, about 20 s, instead of minutes."""
_MIN_RESAMPLES = 200

METRICS = ("ttft_service", "ttft_response", "tpot", "e2e_service", "e2e_response")


class Leg(msgspec.Struct, frozen=True):
    """One round against one target. Both sides of a round share `seed`: the same arrivals, the same requests.

    `salt` differs between the sides. It belongs into the prompts' nonce: where both targets end at the same engines,
    the second side would otherwise find every prompt of the first in the prefix cache.
    """

    round: int
    side: Literal["a", "b"]
    seed: int
    salt: str


def legs(rounds: int, seed: int) -> list[Leg]:
    """The legs in the order to run them: a b, b a, a b, ...; an even number of rounds gives each side each place."""
    if rounds < 1:
        raise ValueError("a comparison has at least one round")
    order: list[Leg] = []
    for number in range(rounds):
        sides: tuple[Literal["a", "b"], ...] = ("a", "b") if number % 2 == 0 else ("b", "a")
        order += [Leg(number, side, seed + number, f"{number}{side}") for side in sides]
    return order


class Estimate(msgspec.Struct, frozen=True):
    """A value with its 95 % interval. `differs`: the interval leaves out zero."""

    value: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        return self.low > 0 or self.high < 0


class Difference(msgspec.Struct, frozen=True):
    """One metric, b minus a, in seconds, over pairs where both answers have it. Positive: b is slower."""

    metric: str
    pairs: int
    a_p50_s: float
    b_p50_s: float
    a_p99_s: float
    b_p99_s: float
    median: Estimate
    mean: Estimate
    p99_of_differences: Estimate
    """99 % of requests lose no more than this."""
    difference_of_p99: Estimate
    """How far the p99 of b lies above the p99 of a; not the same number, and the one an SLO sees."""


class Comparison(msgspec.Struct, frozen=True):
    """Everything that a comparison prints."""

    scheduled: int
    both: int
    only_a: int
    only_b: int
    neither: int
    length_mismatches: int
    """Pairs whose answers have different token counts: end-to-end times then compare different work."""
    attainment_a: Proportion
    attainment_b: Proportion
    attainment_difference: Estimate
    slo: dict[str, float]
    differences: list[Difference]
    resamples: int
    seed: int


def run_paired(measure: Callable[[Leg], Columns], rounds: int, seed: int) -> list[tuple[Columns, Columns]]:
    """Run all legs in their order with `measure`; the pair of runs of each round."""
    runs = {(leg.round, leg.side): measure(leg) for leg in legs(rounds, seed)}
    return [(runs[number, "a"], runs[number, "b"]) for number in range(rounds)]


def compare(
    rounds: Sequence[tuple[Columns, Columns]], slo: Slo | None = None, *, seed: int = 0, resamples: int = RESAMPLES
) -> Comparison:
    """Compare the sides over all rounds. Raises ValueError when the two sides of a round are not one schedule."""
    slo = slo or Slo()
    paired = list(starmap(align, rounds))
    scheduled = sum(len(a) for a, _ in paired)
    if scheduled == 0:
        raise ValueError("there is nothing to compare: no request was scheduled")
    ok_a = np.concatenate([a.ok for a, _ in paired])
    ok_b = np.concatenate([b.ok for _, b in paired])
    good_a = np.concatenate([slo.good(a) for a, _ in paired])
    good_b = np.concatenate([slo.good(b) for _, b in paired])
    both = ok_a & ok_b
    tokens_a = np.concatenate([a.tokens for a, _ in paired])
    tokens_b = np.concatenate([b.tokens for _, b in paired])
    attained = good_b.astype(np.float64) - good_a
    draws = _resamples(resamples, scheduled)
    means = np.array([attained[rows].mean() for rows in _blocks(scheduled, draws, seed)])
    differences = []
    for metric in METRICS:
        a_s = np.concatenate([getattr(a, f"{metric}_s") for a, _ in paired])[both]
        b_s = np.concatenate([getattr(b, f"{metric}_s") for _, b in paired])[both]
        known = ~(np.isnan(a_s) | np.isnan(b_s))
        if bool(known.any()):
            differences.append(_difference(metric, a_s[known], b_s[known], resamples, seed))
    return Comparison(
        scheduled=scheduled,
        both=int(both.sum()),
        only_a=int((ok_a & ~ok_b).sum()),
        only_b=int((ok_b & ~ok_a).sum()),
        neither=int((~ok_a & ~ok_b).sum()),
        length_mismatches=int((tokens_a != tokens_b)[both].sum()),
        attainment_a=wilson(int(good_a.sum()), scheduled),
        attainment_b=wilson(int(good_b.sum()), scheduled),
        attainment_difference=_estimate(float(attained.mean()), means),
        slo=slo.limits(),
        differences=differences,
        resamples=draws,
        seed=seed,
    )


def align(a: Columns, b: Columns) -> tuple[Columns, Columns]:
    """Both runs in schedule order. Raises ValueError when they do not hold the same indexes, each once."""
    a, b = a.take(np.argsort(a.index, kind="stable")), b.take(np.argsort(b.index, kind="stable"))
    if not np.array_equal(a.index, b.index):
        raise ValueError(f"the two sides are not one schedule: {len(a)} and {len(b)} requests, or other indexes")
    if len(a) > 1 and bool((np.diff(a.index) == 0).any()):
        raise ValueError("a schedule index occurs twice in one side")
    return a, b


def _difference(metric: str, a_s: Floats, b_s: Floats, resamples: int, seed: int) -> Difference:
    count = len(a_s)
    delta = b_s - a_s
    draws = _resamples(resamples, count)
    drawn = np.empty((draws, 4))
    for number, rows in enumerate(_blocks(count, draws, seed)):
        some = delta[rows]
        drawn[number] = (_median(some), some.mean(), _p99(some), _p99(b_s[rows]) - _p99(a_s[rows]))
    values = (_median(delta), float(delta.mean()), _p99(delta), _p99(b_s) - _p99(a_s))
    median, mean, p99_of, of_p99 = (_estimate(value, drawn[:, k]) for k, value in enumerate(values))
    return Difference(metric, count, _median(a_s), _median(b_s), _p99(a_s), _p99(b_s), median, mean, p99_of, of_p99)


def _resamples(wanted: int, count: int) -> int:
    return max(min(wanted, _MIN_RESAMPLES), min(wanted, _WORK // max(count, 1)))


def _blocks(count: int, resamples: int, seed: int) -> Iterator[Ints]:
    """Row numbers of each resample: blocks of consecutive requests, the cube root of the count long, as is usual."""
    rng = np.random.default_rng(seed)
    length = max(1, round(count ** (1 / 3)))
    within = np.arange(length)
    for _ in range(resamples):
        starts = rng.integers(0, count - length + 1, size=-(-count // length))
        yield (starts[:, None] + within).ravel()[:count]


def _estimate(value: float, drawn: Floats) -> Estimate:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value, float(low), float(high))


def _median(values: Floats) -> float:
    return float(np.median(values))


def _p99(values: Floats) -> float:
    rank = nearest_rank(len(values), 0.99)
    return float(np.partition(values, rank)[rank])


_LABELS = {
    "ttft_service": "TTFT from the send",
    "ttft_response": "TTFT from the intended send",
    "tpot": "TPOT",
    "e2e_service": "end to end from the send",
    "e2e_response": "end to end from the intended send",
}


def comparison_table(comparison: Comparison, a: str = "a", b: str = "b") -> str:
    """The comparison as text: what was paired, then per metric the difference with its interval."""
    c = comparison
    lines = [
        f"a = {a}, b = {b}; differences are b - a, 95 % intervals from {c.resamples:,} resamples, seed {c.seed}",
        f"{c.scheduled:,} scheduled pairs: {c.both:,} answered by both, {c.only_a:,} by a alone,"
        f" {c.only_b:,} by b alone, {c.neither:,} by neither; {c.length_mismatches:,} pairs of unequal length",
        f"attainment: a {c.attainment_a.ratio:.2%}, b {c.attainment_b.ratio:.2%},"
        f" difference {_points(c.attainment_difference)}",
    ]
    width = max(map(len, _LABELS.values()))
    for d in c.differences:
        lines.append("")
        lines.append(f"{_LABELS[d.metric]:<{width}}  {d.pairs:,} pairs")
        rows = (
            ("median of differences", d.median),
            ("mean of differences", d.mean),
            ("p99 of differences", d.p99_of_differences),
            ("difference of p99", d.difference_of_p99),
        )
        lines.append(f"  p50 {_ms(d.a_p50_s)} -> {_ms(d.b_p50_s)}, p99 {_ms(d.a_p99_s)} -> {_ms(d.b_p99_s)}")
        for name, e in rows:
            said = "" if e.differs else "   (no difference shown)"
            lines.append(f"  {name:<22} {_ms(e.value, '+'):>12}  [{_ms(e.low, '+')}, {_ms(e.high, '+')}]{said}")
    return "\n".join(lines)


def _ms(value_s: float, sign: str = "") -> str:
    return f"{value_s * 1e3:{sign}.3f} ms"


def _points(e: Estimate) -> str:
    said = "" if e.differs else " (no difference shown)"
    return f"{e.value * 100:+.2f} points [{e.low * 100:+.2f}, {e.high * 100:+.2f}]{said}"
