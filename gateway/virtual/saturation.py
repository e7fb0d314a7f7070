"""What 100 % of load is: the highest rate at which the oracle keeps 90 % of calls within the SLO.

The capacity with perfect hits would not do: no policy comes near it, since a cache does not hold everything, and "90 %"
of it would be an overload for all. The oracle sees true caches, queues and rates, so a policy that does well at 90 %
does so without seeing them. Whose rate it is never depends on the policies that are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.virtual.figures import figures_of
from gateway.virtual.fleet import ModelledFleet
from gateway.virtual.oracle import ORACLE
from gateway.virtual.replicas import Gpu
from gateway.virtual.scenarios import Scenario
from gateway.virtual.trace import calls_of

WANTED_GOOD_RATIO = 0.9
TOLERANCE = 0.02
"""Of the rate: closer than the interval of any figure at it."""
SEED = 0
"""No comparison uses it, so that the rate is not fitted to what is then measured."""


def saturation_per_s(scenario: Scenario, replicas: int, duration_s: float) -> float:
    """Requests per second of a fleet of that many replicas."""
    fleet = scenario.fleet(replicas)
    guess = scenario.recorded_rate_per_s or 8.0 * replicas
    return highest(lambda rate: keeps_up(scenario, fleet, rate, duration_s), guess)


def keeps_up(scenario: Scenario, fleet: Sequence[Gpu], rate_per_s: float, duration_s: float) -> bool:
    """Whether the oracle meets the SLO often enough at this rate."""
    calls = calls_of(scenario.workload(SEED, rate_per_s, duration_s))
    if not calls:
        return True
    outcomes = ModelledFleet(fleet, ORACLE, SEED).play(calls)
    return figures_of(outcomes, fleet, scenario.ttft_slo_s).good_ratio >= WANTED_GOOD_RATIO


def highest(passes: Callable[[float], bool], guess: float) -> float:
    """The highest rate that passes, within the tolerance: doubled or halved from the guess, then bisected."""
    low = guess
    while not passes(low):
        low /= 2
    high = low * 2
    while passes(high):
        low, high = high, high * 2
    while high - low > TOLERANCE * low:
        middle = (low + high) / 2
        if passes(middle):
            low = middle
        else:
            high = middle
    return low
