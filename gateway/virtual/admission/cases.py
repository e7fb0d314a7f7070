"""The questions asked of admission, each with its bar, and the table of the answers.

Deadlines: of every request with one, was it let in though it had to miss it (admitted late), or sent away though it
could have met it (refused feasible)? The oracle of `gateway.virtual.admission.hall` says which.

Flood: how much longer does a quiet tenant wait when another sends three times what the fleet can do, than when that
one sends just an equal share, half of it? Beside it stands how much longer it would wait if it always went first, which
no order of the line can better. Where a place is mostly free while the flooder keeps to its share, that is more than
twice: hardly anybody waits then, and under a flood everybody waits for the next place, which takes the 32nd part of an
answer. A fleet can only do better there by keeping places empty.

Clients that leave: what part of a quiet tenant's leave unserved for the flood? And of two tenants that both flood, one
of whose clients leave after a second: does that one get less?

Retry-After: for 20 s four times as much comes as there is room for, and then half of it. Of those that were refused and
came again when they had been told to, how many were refused again?
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from gateway.virtual.admission.hall import Ask, Hall, Places
from gateway.virtual.intervals import Interval, difference_interval, mean_interval, ratio_interval
from routing.waiting.admission import AdmissionSettings

PLACES: Final = Places()
WARM_UP_S: Final = 60.0
"""Rates and lengths are learned then; nothing of it counts."""
LIMITS: Final = (32, 512)
"""`max_tokens`, uniform."""
RANDOM_LIMIT: Final = 1024
RANDOM_LENGTH: Final = (5.2, 0.6)
"""Of answers that end by themselves: the logarithm's mean and deviation; 181 tokens in the middle."""
PROMPTS: Final = (100, 2000)
ALLOWED: Final = (0.5, 8.0)
"""A deadline is so many times what an answer takes in the mean, uniform."""
EQUAL_SHARE: Final = 0.5
FLOOD: Final = 3.0
FIRST: Final = 1
"""The priority of one who always goes first."""
SURGE, AFTER_IT, SURGE_S, CALM_S, SURGES = 4.0, 0.5, 20.0, 120.0, 3
QUEUE_S: Final = 15.0
"""What may wait then, in seconds of the whole fleet."""
NEAR_FIRST: Final = 1.1
"""Times what one waits who always goes first: as good as no order of the line can better."""
LEAVES_S: Final = 1.0
LONGER: Final = 3
"""So many times as long: queues near capacity change slowly."""


NO_LINE: Final = "no line could"
WHY_NO_LINE: Final = (
    f"{NO_LINE}: it waits hardly longer than if it always went first. While the flooder keeps to its share, some place "
    "is mostly free; under a flood all are taken, and whoever comes waits for the next one to be, whatever the order. "
    "Only a fleet that keeps places empty could do better."
)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table. `most` is the bar in the unit of `figure`; None where the figure is for reading only."""

    name: str
    figure: str
    value: Interval
    most: float | None
    least: float | None = None
    """What no line could better, where that is known."""
    each: tuple[float, ...] = ()
    """By seed, where they are told."""

    @property
    def holds(self) -> bool:
        """Whether the mean is within the bar; where no line could be, whether it is near the best that one could do."""
        if self.most is None or self.value.mean <= self.most:
            return True
        return self.least is not None and self.least > self.most and self.value.mean <= NEAR_FIRST * self.least

    @property
    def verdict(self) -> str:
        """In the table."""
        if self.most is None:
            return ""
        if not self.holds:
            return "MISSED"
        return "holds" if self.value.mean <= self.most else NO_LINE


def cases(seeds: int, duration_s: float, tell: Callable[[str], None]) -> Iterator[Case]:
    """All of them, over so many seeds of so many virtual seconds each."""
    for exact, most_late, most_refused in ((True, 0.0, 2.0), (False, 5.0, 5.0)):
        for load in (0.8, 1.0, 1.3, 2.0):
            name = f"answers {'to max_tokens' if exact else 'of random length'}, {load:.0%} of capacity"
            tell(name)
            shares = [judged(_with_deadlines(seed, load, duration_s, exact)) for seed in range(seeds)]
            yield Case(name, "admitted late, %", mean_interval([late for late, _ in shares]), most_late)
            yield Case(name, "refused feasible, %", mean_interval([refused for _, refused in shares]), most_refused)
    for demand in (0.3, 0.4, 0.45, 0.48):
        name = f"a tenant that wants {demand:.0%} of capacity, another that floods"
        tell(name)
        held = [_quiet_wait_s(seed, demand, EQUAL_SHARE, LONGER * duration_s) for seed in range(seeds)]
        flooded = [_quiet_wait_s(seed, demand, FLOOD, LONGER * duration_s) for seed in range(seeds)]
        yield Case(name, "mean wait, flooder at its share, s", mean_interval(held), None)
        yield Case(name, "mean wait under flood, s", mean_interval(flooded), None)
        first = [_quiet_wait_s(seed, demand, FLOOD, LONGER * duration_s, FIRST) for seed in range(seeds)]
        best = ratio_interval(first, held)
        each = tuple([most / least for most, least in zip(flooded, held, strict=True)])
        yield Case(name, "mean wait, ratio", ratio_interval(flooded, held), 2.0, best.mean, each)
        each = tuple([most / least for most, least in zip(first, held, strict=True)])
        yield Case(name, "the same if it always went first, ratio", best, None, None, each)
    for demand in (0.3, 0.48):
        name = f"a tenant that wants {demand:.0%} and whose clients leave after {LEAVES_S:g} s, another that floods"
        tell(name)
        held = [_impatient(seed, demand, EQUAL_SHARE, duration_s)[0] for seed in range(seeds)]
        flooded = [_impatient(seed, demand, FLOOD, duration_s)[0] for seed in range(seeds)]
        yield Case(name, "leave unserved, flooder at its share, %", mean_interval(held), None)
        yield Case(name, "leave unserved for the flood, % more", difference_interval(flooded, held), 2.0)
    name = f"two that flood, and the clients of one leave after {LEAVES_S:g} s"
    tell(name)
    less = [100.0 * (1.0 - _impatient(seed, FLOOD, FLOOD, duration_s)[1]) for seed in range(seeds)]
    yield Case(name, "served less than the other, %", mean_interval(less), 5.0)
    tell("a surge, and who was refused comes when told")
    again = [_refused_again(seed) for seed in range(seeds)]
    yield Case("a surge, and who was refused comes when told", "refused again, %", mean_interval(again), 50.0)


def judged(asks: list[Ask]) -> tuple[float, float]:
    """What part of the requests with a deadline was admitted late, and refused though feasible, in per cent."""
    done = Hall(PLACES, AdmissionSettings(in_flight=PLACES.each, tenant_ratio=1.0, max_wait_s=600.0)).play(asks)
    timed = [ask for ask in done if ask.allowed_s is not None]
    late = sum([ask.admitted and not ask.feasible for ask in timed])
    refused = sum([ask.feasible and not ask.admitted for ask in timed])
    return 100.0 * late / len(timed), 100.0 * refused / len(timed)


def _with_deadlines(seed: int, load: float, duration_s: float, exact: bool) -> list[Ask]:
    rng = random.Random(f"deadlines {seed} {exact}")  # noqa: S311 - a simulation
    mean_s = fmean([PLACES.takes_s(_ask(rng, 0.0, exact)) for _ in range(4000)])
    rate = load * PLACES.replicas * PLACES.each / mean_s
    asks: list[Ask] = []
    at_s = rng.expovariate(rate)
    while at_s < WARM_UP_S + duration_s:
        ask = _ask(rng, at_s, exact)
        if at_s > WARM_UP_S:
            ask.allowed_s = rng.uniform(*ALLOWED) * mean_s
        asks.append(ask)
        at_s += rng.expovariate(rate)
    return asks


def _refused_again(seed: int) -> float:
    """Of those that were refused, what part was again when it came as told, in per cent."""
    rng = random.Random(f"surge {seed}")  # noqa: S311 - a simulation
    sample = [_ask(rng, 0.0, True) for _ in range(4000)]
    per_s = PLACES.replicas * PLACES.each / fmean([PLACES.takes_s(ask) for ask in sample])
    tokens = int(QUEUE_S * per_s * fmean([ask.prompt_tokens + ask.output_tokens for ask in sample]))
    asks: list[Ask] = []
    at_s = 0.0
    while at_s < WARM_UP_S + SURGES * (SURGE_S + CALM_S):
        surging = at_s > WARM_UP_S and (at_s - WARM_UP_S) % (SURGE_S + CALM_S) < SURGE_S
        at_s += rng.expovariate((SURGE if surging else AFTER_IT) * per_s)
        ask = _ask(rng, at_s, True, rng.choice("abcd"))
        ask.comes_back = True
        asks.append(ask)
    Hall(PLACES, AdmissionSettings(in_flight=PLACES.each, queue_tokens=tokens)).play(asks)
    told = [len(ask.told_s) for ask in asks if ask.told_s]
    return 100.0 * sum([times > 1 for times in told]) / len(told)


def _quiet_wait_s(seed: int, demand: float, other: float, duration_s: float, priority: int = 0) -> float:
    """The mean wait of a tenant that asks for `demand` of the fleet while another asks for `other` of it."""
    quiet, loud = (_tenant(seed, name, share, duration_s) for name, share in (("quiet", demand), ("loud", other)))
    for ask in quiet:
        ask.priority = priority
    Hall(PLACES, AdmissionSettings(in_flight=PLACES.each)).play(sorted(quiet + loud, key=lambda ask: ask.at_s))
    waits = [ask.wait_s for ask in quiet if ask.at_s > WARM_UP_S]
    assert None not in waits, "the quiet tenant was refused"
    return fmean([wait_s for wait_s in waits if wait_s is not None])


def _impatient(seed: int, demand: float, other: float, duration_s: float) -> tuple[float, float]:
    """What part of one tenant's clients left unserved, in per cent, and what was served of it, over the other's."""
    quiet, loud = (_tenant(seed, name, share, duration_s) for name, share in (("quiet", demand), ("loud", other)))
    for ask in quiet:
        ask.patience_s = LEAVES_S
    Hall(PLACES, AdmissionSettings(in_flight=PLACES.each)).play(sorted(quiet + loud, key=lambda ask: ask.at_s))
    measured = [ask for ask in quiet if ask.at_s > WARM_UP_S]

    def tokens(asks: list[Ask]) -> int:
        end_s = WARM_UP_S + duration_s
        started = [ask for ask in asks if ask.started_s is not None and WARM_UP_S < ask.started_s < end_s]
        return sum([ask.prompt_tokens + ask.output_tokens for ask in started])

    left = sum([ask.started_s is None for ask in measured])
    return 100.0 * left / len(measured), tokens(quiet) / max(1, tokens(loud))


def _tenant(seed: int, name: str, share: float, duration_s: float) -> list[Ask]:
    rng = random.Random(f"flood {seed} {name}")  # noqa: S311 - a simulation
    mean_s = fmean([PLACES.takes_s(_ask(rng, 0.0, True)) for _ in range(4000)])
    rate = share * PLACES.replicas * PLACES.each / mean_s
    asks: list[Ask] = []
    at_s = rng.expovariate(rate)
    while at_s < WARM_UP_S + duration_s:
        asks.append(_ask(rng, at_s, True, name))
        at_s += rng.expovariate(rate)
    return asks


def _ask(rng: random.Random, at_s: float, exact: bool, tenant: str = "") -> Ask:
    prompt_tokens = rng.randint(*PROMPTS)
    if exact:
        limit = rng.randint(*LIMITS)
        return Ask(at_s, prompt_tokens, limit, limit, tenant)
    length = min(RANDOM_LIMIT, max(1, round(rng.lognormvariate(*RANDOM_LENGTH))))
    return Ask(at_s, prompt_tokens, length, RANDOM_LIMIT, tenant)


def table(rows: list[Case], seeds: int, duration_s: float) -> str:
    """Each row with its 95 % interval over the seeds, and what it may be at most."""
    places = PLACES.replicas * PLACES.each
    lines = [
        f"{PLACES.replicas} replicas of {PLACES.each} places ({places}), {PLACES.tpot_ms:g} ms per output token; "
        f"seeds 0 to {seeds - 1}, {duration_s:g} s each after {WARM_UP_S:g} s of learning; "
        f"deadlines {ALLOWED[0]:g} to {ALLOWED[1]:g} times the mean answer",
        "",
        "| | | mean | 95 % interval | at most | | each seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        mean, low, high = row.value
        most = "" if row.most is None else f"{row.most:g}"
        each = ", ".join([f"{value:.2f}" for value in row.each])
        lines.append(
            f"| {row.name} | {row.figure} | {mean:.2f} | {low:.2f} to {high:.2f} | {most} | {row.verdict} | {each} |"
        )
    if any(row.verdict == NO_LINE for row in rows):
        lines += ["", WHY_NO_LINE]
    return "\n".join(lines) + "\n"
