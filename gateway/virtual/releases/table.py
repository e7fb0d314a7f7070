"""Every figure that is published of the gate of releases, with its bar: `make bench-releases` prints them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from gateway.virtual.releases.amounts import loaded, slow_found
from gateway.virtual.releases.bandit import run
from gateway.virtual.releases.worlds import (
    NEVER,
    PRIOR_UNITS,
    WORSE,
    Bets,
    Floats,
    Ramp,
    World,
    promoted,
    rolled_back,
    sticky_ramp,
)
from routing.gate.ceiling import clean_requests_needed
from routing.gate.sequence import Difference, Sample, difference, relative_difference
from routing.gate.units import MISMATCH_ALPHA, MISMATCH_RATIOS, sample_ratio_p

CHUNK = 5_000
ALPHA = 0.05
"""Of the single guardrail in these tables; a release's guardrails have .01 each."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line."""

    what: str
    measured: str
    bar: str
    met: bool


@dataclasses.dataclass(frozen=True)
class Table:
    """Some of them."""

    title: str
    figures: list[Figure]


def part(title: str, ends: list[int], most: float, runs: int) -> Figure:
    """How often something happened that may happen in so many cases, within the interval of so many runs."""
    found = sum(end != NEVER for end in ends) / runs
    room = 1.96 * (most * (1.0 - most) / runs) ** 0.5
    return Figure(title, f"{found:.1%}", f"at most {most:.0%} (+ {room:.1%})", found <= most + room)


def median(title: str, ends: list[int], bar: float, *, scale: float = 1.0, exact: bool = False) -> Figure:
    """Of what was found: `bar` is the most it may be, or what it is to be within 20 %."""
    found = sorted(end for end in ends if end != NEVER)
    if not found:
        return Figure(title, "never", f"{bar:,.0f}", False)
    middle = found[len(found) // 2] * scale
    told = f"{middle:,.0f}" + ("" if len(found) == len(ends) else f" (found in {len(found) / len(ends):.1%})")
    bars = f"at most {bar:,.0f}" if exact else f"{bar:,.0f}, 20 % more at most"
    return Figure(title, told, bars, middle <= bar * (1.0 if exact else 1.2))


def tables(seed: int, runs: int) -> Iterator[Table]:
    """All of them, one after the other; each has random numbers of its own, so that one can be repeated alone."""
    makers: list[Callable[[np.random.Generator, int], Table]] = [
        false_alarms,
        false_promotions,
        dead,
        power,
        tolerance,
        promotions,
        latency,
        load,
        mismatches,
        ramps,
        oracles,
        bandits,
    ]
    for number, make in enumerate(makers):
        yield make(np.random.default_rng([seed, number]), runs)


def some_of(runs: int, part: int, least: int) -> int:
    """A part of all runs, but `least` where there are so many: fewer are for a quick look, not to be published."""
    return max(1, runs // part, min(least, runs))


def false_alarms(rng: np.random.Generator, runs: int) -> Table:
    found = []
    for share in (0.01, 0.05, 0.5):
        for base in (0.05, 0.01, 0.002):
            world = World(share, base)
            ends = [rolled_back(rng, world, 100_000, level=ALPHA, rho=1.0, configured=share) for _ in range(runs)]
            found.append(part(f"requests, {1 - share:.0%} / {share:.0%}, base {base:.1%}", ends, ALPHA, runs))
    sticky = [0 if sticky_ramp(rng, level=ALPHA) else NEVER for _ in range(runs)]
    found.append(part("sticky users who differ, over a ramp of 5 / 25 / 50 %", sticky, ALPHA, runs))
    some = some_of(runs, 4, 100)
    counted = [0 if sticky_ramp(rng, level=ALPHA, per_request=True) else NEVER for _ in range(some)]
    wrong = sum(end != NEVER for end in counted) / some
    found.append(Figure("the same, if every request were counted", f"{wrong:.1%}", "why it is not done", wrong > ALPHA))
    shares = [rolled_back(rng, World(0.06, 0.01), 100_000, level=ALPHA, rho=1.0, configured=0.05) for _ in range(some)]
    found.append(part("5 % configured, 6 % in truth, base 1 %", shares, 0.07, some))
    return Table(
        "A canary that is no worse, rolled back, of 100,000 requests looked at after every event (rho 1)", found
    )


def false_promotions(rng: np.random.Generator, runs: int) -> Table:
    found = []
    for share, base in ((0.5, 0.01), (0.5, 0.1), (0.05, 0.1)):
        world = World(share, base, 1.5)
        ends = [promoted(rng, world, 100_000, level=ALPHA, margin=1.5) for _ in range(runs)]
        found.append(part(f"{1 - share:.0%} / {share:.0%}, base {base:.0%}", ends, ALPHA, runs))
    return Table("A canary exactly as bad as the margin (1.5), promoted, of 100,000 requests", found)


def dead(rng: np.random.Generator, runs: int) -> Table:
    """Request by request: its canary's requests all fail, and of the control's at most 1 %."""
    found = []
    for base in (0.01, 0.001):
        ends: list[int] = []
        for _ in range(runs):
            canary = rng.random(400) < 0.05
            bad = np.flatnonzero(canary | (rng.random(400) < base))
            before: Floats = (np.cumsum(canary) - canary)[bad].astype(np.float64)
            share: Floats = (0.05 * PRIOR_UNITS + before) / (PRIOR_UNITS + bad.astype(np.float64))
            where = Bets(1.1, WORSE).crosses(canary[bad], share, ALPHA)
            ends.append(NEVER if where == NEVER else int(canary[: bad[where] + 1].sum()))
        by_third = sum(end != NEVER and end <= 3 for end in ends) / runs
        middle = sorted(ends)[runs // 2]
        told = f"{by_third:.1%}, median {middle}"
        found.append(Figure(f"control's errors {base:.1%}", told, "98 % by the third", by_third >= 0.98))
    return Table("A dead canary at 95 / 5: rolled back by its third request (rho 1.1)", found)


def power(rng: np.random.Generator, runs: int) -> Table:
    found = []
    some = some_of(runs, 2, 1_000)
    for base, ratio, share, strict, tolerant in (
        (0.01, 2.0, 0.5, 2_000, None),
        (0.01, 3.0, 0.05, 320, 420),
        (0.01, 2.0, 0.05, 990, None),
        (0.01, 5.0, 0.01, 98, None),
        (0.001, 50.0, 0.05, 44, None),
    ):
        world = World(share, base, ratio)
        for rho, bar in ((1.0, strict), (1.1, tolerant)):
            if bar is not None:
                most = int(10 * bar / share)
                ends = [rolled_back(rng, world, most, level=ALPHA, rho=rho, configured=share) for _ in range(some)]
                title = f"{base:.1%} -> {base * ratio:.0%} at {1 - share:.0%} / {share:.0%}, rho {rho:g}"
                found.append(median(title, ends, bar, scale=share, exact=tolerant is not None))
    return Table("A worse canary: its requests until it is rolled back (median)", found)


def tolerance(rng: np.random.Generator, runs: int) -> Table:
    found = []
    some = some_of(runs, 10, 200)
    for ratio, least, most in ((1.0, 0.0, 0.03), (1.1, 0.0, 0.06), (1.25, 0.4, 0.85), (1.5, 0.99, 1.0)):
        ends = [Ramp(200.0, 0.01, ratio, alpha=ALPHA).play(rng)[0] for _ in range(some)]
        gone = ends.count("rollback") / some
        bar = f"{least:.0%} to {most:.0%}"
        found.append(Figure(f"{ratio:g} times the control's errors", f"{gone:.1%}", bar, least <= gone <= most))
    return Table("What the tolerance of 1.1 does: ramps at 200 requests/s and 1 % errors that are rolled back", found)


def promotions(rng: np.random.Generator, runs: int) -> Table:
    found = []
    some = some_of(runs, 5, 400)
    for base, share, bars in (
        (0.01, 0.5, (26_700, 7_000, 2_740)),
        (0.1, 0.5, (2_630, 750, 240)),
        (0.1, 0.05, (1_260, 354, 95)),
    ):
        for margin, bar in zip((1.25, 1.5, 2.0), bars, strict=True):
            ends = [
                promoted(rng, World(share, base), int(5 * bar / share), level=ALPHA, margin=margin) for _ in range(some)
            ]
            title = f"base {base:.0%} at {1 - share:.0%} / {share:.0%}, margin {margin:g}"
            found.append(median(title, ends, bar, scale=share))
    needed = clean_requests_needed(0.01, ALPHA)
    found.append(Figure("without one event, for a ceiling of 1 %", f"{needed}", "299", needed == 299))
    return Table("A canary that is as good: its requests until it may be promoted (median)", found)


def latency(rng: np.random.Generator, runs: int) -> Table:
    found = []
    some = some_of(runs, 5, 400)
    for per_user, share, effect, bar in (
        (True, 0.05, 1.5, 44),
        (True, 0.05, 1.2, 240),
        (True, 0.5, 1.5, 104),
        (True, 0.5, 1.2, 343),
        (False, 0.05, 1.5, 126),
        (False, 0.05, 1.2, 571),
    ):
        units = int(5 * bar / share)
        ends = [slow_found(rng, share, effect, units, level=ALPHA, per_user=per_user) for _ in range(some)]
        who = "users" if per_user else "requests"
        found.append(median(f"{who}, {effect:g} times as slow at {1 - share:.0%} / {share:.0%}", ends, bar))
    for per_user in (True, False):
        ends = [slow_found(rng, 0.05, 1.0, 10_000, level=ALPHA, per_user=per_user) for _ in range(some)]
        found.append(part(f"{'users' if per_user else 'requests'}, as fast: rolled back", ends, ALPHA, some))
    return Table("A slower canary: its units until it is rolled back (median; p50, p75 and p90 together)", found)


def load(rng: np.random.Generator, runs: int) -> Table:
    some = some_of(runs, 5, 400)
    found = []
    raw = [loaded(rng, 0.05, 1.0, 1.2, 40_000, level=ALPHA, residual=False) for _ in range(some)]
    wrong = sum(end != NEVER for end in raw) / some
    found.append(Figure("as fast, compared as it is: rolled back", f"{wrong:.1%}", "why it is not done", wrong > 0.5))
    ends = [loaded(rng, 0.05, 1.0, 1.2, 40_000, level=ALPHA, residual=True) for _ in range(some)]
    found.append(part("as fast, what load explains taken out: rolled back", ends, ALPHA, some))
    ends = [loaded(rng, 0.05, 1.5, 1.2, 40_000, level=ALPHA, residual=True) for _ in range(some)]
    found.append(median("1.5 times as slow, what load explains taken out", ends, 82))
    return Table("A canary whose replicas have 1.2 times the load, at 95 / 5", found)


def mismatches(rng: np.random.Generator, runs: int) -> Table:
    some = some_of(runs, 20, 100)
    found = []
    for configured, true, bar in ((0.05, 0.053, 92_000), (0.05, 0.06, 10_000), (0.5, 0.53, 5_700)):
        ends = [_mismatch(rng, configured, true, 6 * bar) for _ in range(some)]
        found.append(median(f"{true:g} where {configured:g} is configured", ends, bar))
    ends = [_mismatch(rng, 0.05, 0.05, 100_000) for _ in range(some)]
    found.append(part("0.05 where 0.05 is configured", ends, MISMATCH_ALPHA * 10, some))
    return Table("A broken assignment: requests until it is called so (median, alpha .001)", found)


def _mismatch(rng: np.random.Generator, configured: float, true: float, requests: int) -> int:
    bets = Bets(1.0, MISMATCH_RATIOS)
    for begin in range(0, requests, CHUNK):
        canary = rng.random(CHUNK) < true
        where = bets.crosses(canary, np.full(CHUNK, configured), MISMATCH_ALPHA)
        if where != NEVER:
            return begin + where + 1
    return NEVER


def ramps(rng: np.random.Generator, runs: int) -> Table:
    some = some_of(runs, 10, 200)
    found = []
    for rate, ratio, wanted, bar_h in ((10.0, 1.0, "promote", 0.89), (200.0, 1.0, "promote", 0.67)):
        ends = [Ramp(rate, 0.01, ratio, alpha=ALPHA, rho=1.0).play(rng) for _ in range(some)]
        found.append(_ramp(f"as good, {rate:g} requests/s", ends, wanted, bar_h))
    for rate, bar_h in ((10.0, 31 / 60), (200.0, 7 / 60)):
        ends = [Ramp(rate, 0.01, 2.0, alpha=ALPHA, rho=1.0).play(rng) for _ in range(some)]
        found.append(_ramp(f"twice the errors, {rate:g} requests/s", ends, "rollback", bar_h))
        wrong = sum(end == "promote" for end, _ in ends)
        found.append(
            Figure(f"twice the errors, {rate:g} requests/s: promoted", f"{wrong} of {some}", "never", not wrong)
        )
    for rate in (10.0, 200.0):
        ends = [Ramp(rate, 0.01, rho=1.0).play(rng) for _ in range(some)]
        gone = sum(end == "rollback" for end, _ in ends) / some
        title = f"as good, {rate:g} requests/s, alpha .01: rolled back"
        found.append(Figure(title, f"{gone:.1%}", "at most 1 %", gone <= 0.01 + 1.96 * (0.0099 / some) ** 0.5))
    return Table(
        "A ramp of 1 / 5 / 25 / 50 / 100 % with 10 minutes a step, errors alone, 1 % (rho 1, median hours)", found
    )


def _ramp(title: str, ends: list[tuple[str, float]], wanted: str, bar_h: float) -> Figure:
    times = sorted(seconds / 3600 for end, seconds in ends if end == wanted)
    if not times:
        return Figure(title, "never", f"{bar_h:.2f} h", False)
    middle = times[len(times) // 2]
    told = f"{wanted} after {middle:.2f} h in {len(times) / len(ends):.1%}"
    return Figure(title, told, f"{bar_h:.2f} h, 20 % more at most", middle <= 1.2 * bar_h + 1e-9)


def oracles(rng: np.random.Generator, runs: int) -> Table:
    def proportion(count: int, events: int) -> Sample:
        return Sample(count, float(events), float(events))

    def close(title: str, found: Difference | None, value: float, low: float, high: float) -> Figure:
        assert found is not None
        told = f"{found.value:.5f} ({found.low:.5f}, {found.high:.5f})"
        met = max(abs(found.value - value), abs(found.low - low), abs(found.high - high)) < 2e-4
        return Figure(title, told, f"{value:.5f} ({low:.5f}, {high:.5f})", met)

    means = relative_difference(Sample(3000, 1396.87, 52377.9767), Sample(3461, 2422.7, 134698.29), tuned_for=1000)
    rates = relative_difference(proportion(3000, 1396), proportion(3461, 2422), proportions=True)
    figures = [
        close("GrowthBook's sequential test of means", means, 0.50336, -0.55844, 1.56516),
        close("GrowthBook's sequential test of proportions", rates, 0.50386, 0.40098, 0.60675),
    ]
    for one, other, p in (((5000, 500), (5000, 600), 0.033486), ((10_000, 1000), (10_000, 1100), 0.43372)):
        found = difference(proportion(*one), proportion(*other), proportions=True)
        assert found is not None
        title = f"always-valid p of {one[1]} / {one[0]} and {other[1]} / {other[0]}"
        figures.append(Figure(title, f"{found.p:.6f}", f"{p:.6f}", abs(found.p - p) < 1e-4))
    for counts, share, p in (((821_588, 815_482), 0.5, 1.56e-4), ((8_800, 1_200), 0.1, 3.0e-5)):
        found_p = sample_ratio_p([(counts, share)])
        title = f"sequential sample-ratio test of {counts[0]:,} / {counts[1]:,} at {1 - share:.0%} / {share:.0%}"
        figures.append(Figure(title, f"{found_p:.2e}", f"{p:.2e}", abs(found_p / p - 1.0) < 0.01))
    return Table("Published figures of others, reproduced", figures)


def bandits(rng: np.random.Generator, runs: int) -> Table:
    found = []
    for rates in ((0.02, 0.01), (0.03, 0.02, 0.01)):
        outcomes = [run(rates, rng, delta=ALPHA) for _ in range(max(1, runs // 4))]
        wrong = [one.units if one.winner not in (None, len(rates) - 1) else NEVER for one in outcomes]
        declared = sorted(one.units for one in outcomes if one.winner is not None)
        what = " / ".join(f"{1.0 - rate:.2f}" for rate in rates)
        found.append(part(f"arms good in {what}: another declared the best", wrong, ALPHA, len(outcomes)))
        middle = declared[len(declared) // 2] if declared else 0
        told = f"{len(declared) / len(outcomes):.1%}, median {middle:,} units"
        found.append(Figure(f"arms good in {what}: one declared", told, "99 %", len(declared) >= 0.99 * len(outcomes)))
        share = sum(one.best_share for one in outcomes) / len(outcomes)
        even = 1.0 / len(rates)
        least = even - 0.02 if len(rates) == 2 else even
        told = f"{share:.1%} of the units until then"
        found.append(Figure(f"arms good in {what}: the best had", told, f"at least {least:.0%}", share >= least))
    return Table("A bandit that looks after every 50 units (delta .05)", found)


def markdown(table: Table) -> str:
    """As the docs have it."""
    lines = [f"**{table.title}**", "", "| | measured | bar | |", "|---|---|---|---|"]
    lines += [
        f"| {one.what} | {one.measured} | {one.bar} | {'met' if one.met else '**missed**'} |" for one in table.figures
    ]
    return "\n".join(lines) + "\n"
