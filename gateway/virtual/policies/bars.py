"""What the comparison has to reach, judged: ours against each of the others, the true caches and a lone gateway.

    where prefixes are shared, from 90 to 100 %     a better p99 TTFT and goodput than each of the others
    below that                                      neither is worse, within the 95 % interval of the pairs
    over saturation                                 ours has a better p99 TTFT than each of the others; where it refuses
                                                    what would be late, a better p99 TTFT and goodput
    where nothing is shared                         neither is worse than that of least_load, within the interval
    what is remembered                              hits at most 5 points below those of the same policy told the truth
    several gateways that share nothing             at least 90 % of the hits of one
    up to saturation                                to refuse what would be late costs no goodput, within the interval

Over saturation nobody who answers everything can answer it in time: the queue grows as long as the load lasts, and soon
all of it is late. Whose queue grows where decides then who has some good answers left: a policy that lets some replicas
drown keeps others in time for a while. So the goodput of ours is judged there as an operator would run it who wants
what can be served in time to be served in time, with `slo.refuse_late`. A call that was refused is not good; p99 is of
what was answered, and what part was refused stands in the table.

A recording is judged by none of them: nobody knows what its prompts share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from gateway.virtual.intervals import difference_interval, ratio_interval
from gateway.virtual.policies.compare import Result
from gateway.virtual.policies.figures import Figures
from gateway.virtual.policies.scenarios import scenario_named

SATURATED = 1.0
BUSY = 0.9
"""The share of saturation from which on ours has to be better, and not only no worse."""
HITS_POINTS = 5.0
SPLIT_RATIO = 0.9
WHOLE = 99.5
"""Percent good from which on two policies are told apart by chance alone."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing that is asked of a case."""

    case: str
    asked: str
    found: str
    met: bool


def bars(results: Sequence[Result], ours: str, twins: Mapping[str, str], plain: str, refusing: str = "") -> list[Bar]:
    """Every bar that these results can be judged by. `plain` is the policy to match where nothing is shared, `refusing`
    ours where it refuses what would be late."""
    return [bar for result in results for bar in _of(result, results, ours, twins, plain, refusing)]


def _of(
    result: Result, results: Sequence[Result], ours: str, twins: Mapping[str, str], plain: str, refusing: str
) -> Iterator[Bar]:
    case, found = result.case, result.figures.get(ours)
    shares = scenario_named(case.scenario).shares
    if found is None or case.load is None or shares is None:
        return
    title = case.title
    if case.crew.gateways > 1:
        if shares and (alone := _alone(result, results, ours)) is not None:
            times = ratio_interval(_each(found, "hit_ratio"), _each(alone, "hit_ratio"))
            yield Bar(title, "hits / one gateway's >= 0.9", times.told(".2f", "x"), times.mean >= SPLIT_RATIO)
        return
    own = ours, twins.get(ours), refusing
    others = [one for one in result.figures if one not in own and not one.startswith("oracle")]
    if not shares:
        others = [one for one in others if one == plain]
    better, over = shares and case.load >= BUSY, case.load > SATURATED
    refuses = result.figures.get(refusing)
    for other in others:
        theirs = result.figures[other]
        if not (shares and over):
            yield _goodput(title, found, theirs, other, better)
        yield _tail(title, found, theirs, other, better)
        if shares and over and refuses is not None:
            yield _goodput(title, refuses, theirs, other, better, f"{refusing}: ")
            yield _tail(title, refuses, theirs, other, better, f"{refusing}: ")
    if refuses is not None and not over:
        yield _goodput(title, refuses, found, ours, False, f"{refusing}: ")
    twin = result.figures.get(twins.get(ours, ""))
    if shares and twin is not None:
        points = difference_interval(_each(found, "hit_ratio", 100), _each(twin, "hit_ratio", 100))
        yield Bar(
            title,
            f"hits >= true caches' - {HITS_POINTS:g} pt",
            points.told("+.1f", " pt"),
            points.mean >= -HITS_POINTS,
        )


def _goodput(
    title: str, found: Mapping[int, Figures], theirs: Mapping[int, Figures], other: str, better: bool, who: str = ""
) -> Bar:
    """Better in the mean of the pairs, or no worse within their interval."""
    good = difference_interval(_each(found, "good_ratio", 100), _each(theirs, "good_ratio", 100))
    all_good = min(fmean(_each(found, "good_ratio", 100)), fmean(_each(theirs, "good_ratio", 100))) >= WHOLE
    met = good.mean > 0 or ((not better or all_good) and good.high >= 0)
    return Bar(title, f"{who}good {'>' if better else '>='} {other}'s", good.told("+.1f", " pt"), met)


def _tail(
    title: str, found: Mapping[int, Figures], theirs: Mapping[int, Figures], other: str, better: bool, who: str = ""
) -> Bar:
    """The same of the p99 of TTFT."""
    tail = ratio_interval(_each(found, "ttft_p99_s"), _each(theirs, "ttft_p99_s"))
    met = tail.mean < 1 or (not better and tail.low <= 1)
    return Bar(title, f"{who}TTFT p99 {'<' if better else '<='} {other}'s", tail.told(".2f", "x"), met)


def _alone(result: Result, results: Sequence[Result], ours: str) -> Mapping[int, Figures] | None:
    """What one gateway finds of the same traffic."""
    case = result.case
    for one in results:
        same = (one.case.scenario, one.case.replicas, one.case.load) == (case.scenario, case.replicas, case.load)
        if same and one.case.crew.gateways == 1:
            return one.figures.get(ours)
    return None


def _each(found: Mapping[int, Figures], name: str, times: float = 1.0) -> list[float]:
    return [times * getattr(found[seed], name) for seed in sorted(found)]
