"""What 100 % of load is: the highest rate at which an oracle keeps 90 % of calls within the SLO.

The capacity with perfect hits would not do: no policy comes near it, since a cache does not hold everything, and "90 %"
of it would be an overload for all. The oracles see true caches, queues and rates, so a policy that does well at 90 %
does so without seeing them. Whose rate it is never depends on the policies that are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from gateway.virtual.fleet.modelled import ModelledFleet
from gateway.virtual.fleet.replicas import Gpu
from gateway.virtual.policies.figures import figures_of
from gateway.virtual.policies.oracle import ORACLES
from gateway.virtual.policies.scenarios import Scenario
from gateway.virtual.trace import calls_of

WANTED_GOOD_RATIO = 0.9
TOLERANCE = 0.02
"""Of the rate: closer than the interval of any figure at it."""
FARTHEST = 2.0**12
"""How many times the guess, or what part of it, is looked at."""
SEED = 0
"""No comparison uses it, so that the rate is not fitted to what is then measured."""


def saturations_per_s(scenario: Scenario, sizes: Sequence[int], duration_s: float) -> dict[int, float]:
    """Requests per second of a fleet of each size."""
    found: dict[int, float] = {}
    each, step = (scenario.recorded_rate_per_s or 8.0 * min(sizes)) / min(sizes), 2.0
    for replicas in sorted(set(sizes)):
        fleet = scenario.fleet(replicas)
        found[replicas] = highest(partial(keeps_up, scenario, fleet, duration_s), each * replicas, step)
        each, step = found[replicas] / replicas, 1.25  # a larger fleet does a little better, seldom by more
    return found


def keeps_up(scenario: Scenario, fleet: Sequence[Gpu], duration_s: float, rate_per_s: float) -> bool:
    """Whether an oracle meets the SLO often enough at this rate."""
    calls = calls_of(scenario.workload(SEED, rate_per_s, duration_s))
    if not calls:
        return True
    played = (ModelledFleet(fleet, oracle, SEED).play(calls) for oracle in ORACLES)
    good = (figures_of(outcomes, fleet, scenario.ttft_slo_s).good_ratio for outcomes in played)
    return any(ratio >= WANTED_GOOD_RATIO for ratio in good)


def highest(passes: Callable[[float], bool], guess: float, step: float = 2.0) -> float:
    """The highest rate that passes, within the tolerance: in steps up or down from the guess, then bisected.

    Raises ValueError when there is none, because all rates pass or none does.
    """
    low = guess
    while not passes(low):
        low /= step
        if low < guess / FARTHEST:
            raise ValueError("no rate is low enough: a call by itself takes longer than the SLO allows")
    high = low * step
    while passes(high):
        low, high = high, high * step
        if high > guess * FARTHEST:
            raise ValueError("no rate is too high: there are too few calls to saturate so many replicas")
    while high - low > TOLERANCE * low:
        middle = (low + high) / 2
        if passes(middle):
            low = middle
        else:
            high = middle
    return low
