"""Policies on the same traffic: under a seed every policy meets the same calls. In one process or in several."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.virtual.fleet.modelled import ALONE, Crew, ModelledFleet
from gateway.virtual.policies.figures import Figures, figures_of
from gateway.virtual.policies.named import policy_named
from gateway.virtual.policies.saturation import saturations_per_s
from gateway.virtual.policies.scenarios import scenario_named
from gateway.virtual.trace import calls_of


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared. Plain data, so that it can be sent to a process."""

    scenarios: tuple[str, ...]
    replicas: tuple[int, ...]
    loads: tuple[float | None, ...]
    """Shares of saturation; None is a recording at its own times."""
    policies: tuple[str, ...]
    seeds: int
    duration_s: float
    crews: tuple[Crew, ...] = (ALONE,)
    split: tuple[str, ...] = ()
    """The policies that crews after the first play; none: all of them."""

    def __post_init__(self) -> None:
        if not (self.scenarios and self.replicas and self.loads and self.policies):
            raise ValueError("a comparison needs a scenario, a number of replicas, a load and a policy at least")
        if (
            self.seeds < 1
            or min(self.replicas) < 1
            or min(self._shares(), default=1) <= 0
            or min((one.gateways for one in self.crews), default=0) < 1
        ):
            raise ValueError("seeds, replicas and gateways are 1 or more, and loads above 0")
        if not 0 < self.duration_s < math.inf:
            raise ValueError("the duration is more than 0 seconds")
        for name in self.policies:
            policy_named(name)
        for scenario in self.scenarios:
            if scenario_named(scenario).recorded_rate_per_s is None and None in self.loads:
                raise ValueError(f"{scenario} has no times of its own: give shares of saturation as loads")

    def _shares(self) -> list[float]:
        return [load for load in self.loads if load is not None]

    def played(self, crew: Crew) -> tuple[str, ...]:
        """The policies that these gateways play."""
        return self.split if self.split and crew != self.crews[0] else self.policies

    def rates(self, scenario: str, saturation_per_s: float) -> Iterator[tuple[float | None, float]]:
        """Each load and its requests per second."""
        for load in self.loads:
            recorded = scenario_named(scenario).recorded_rate_per_s if load is None else None
            yield load, recorded if recorded is not None else (load or 0.0) * saturation_per_s


@dataclass(frozen=True, slots=True)
class Case:
    """One block of the table."""

    scenario: str
    replicas: int
    load: float | None
    crew: Crew = ALONE

    @property
    def title(self) -> str:
        """Everything that tells it from the others."""
        gateways = "" if self.crew.gateways == 1 else f", {self.crew.gateways} gateways"
        return f"{self.scenario}, {self.replicas} replicas, {self.load_text}{gateways}"

    @property
    def load_text(self) -> str:
        return "as recorded" if self.load is None else f"{self.load:.0%} of saturation"


@dataclass(slots=True)
class Result:
    """What came out of one case."""

    case: Case
    rate_per_s: float
    figures: dict[str, dict[int, Figures]] = field(default_factory=dict)
    """Policy -> seed -> figures."""


Say = Callable[[str], None]


def compare(plan: Plan, jobs: int = 1, say: Say = lambda _: None) -> list[Result]:
    """Run it all; the results are in the order of the plan and do not depend on the number of jobs."""
    with _pool(jobs) as run:
        places = [(scenario, replicas) for scenario in plan.scenarios for replicas in plan.replicas]
        saturated: dict[tuple[str, int], float] = {}
        sought = [(scenario, scenario, plan.replicas, plan.duration_s) for scenario in plan.scenarios]
        for scenario, found in run(_saturations, sought if any(plan.loads) else ()):
            saturated |= {(scenario, replicas): rate for replicas, rate in found.items()}
        for (scenario, replicas), rate in sorted(saturated.items()):
            say(f"{scenario}, {replicas} replicas: 100 % is {rate:.1f} requests/s")
        results = {
            (case := Case(*place, load, crew)): Result(case, rate)
            for place in places
            for crew in plan.crews
            for load, rate in plan.rates(place[0], saturated.get(place, 0.0))
        }
        work = [
            ((case, seed), case, result.rate_per_s, seed, plan.played(case.crew), plan.duration_s)
            for case, result in results.items()
            for seed in range(1, plan.seeds + 1)
        ]
        work.sort(key=lambda one: -one[1].replicas)  # the longest first, or one core ends up alone with it
        for done, ((case, seed), found) in enumerate(run(_one_seed, work), 1):
            say(f"{done} of {len(work)}: {case.title}, seed {seed}")
            for policy, figures in found.items():
                results[case].figures.setdefault(policy, {})[seed] = figures
    return list(results.values())


def _saturations(scenario: str, sizes: Sequence[int], duration_s: float) -> dict[int, float]:
    return saturations_per_s(scenario_named(scenario), sizes, duration_s)


def _one_seed(
    case: Case, rate_per_s: float, seed: int, policies: Sequence[str], duration_s: float
) -> dict[str, Figures]:
    scenario = scenario_named(case.scenario)
    fleet = scenario.fleet(case.replicas)
    calls = calls_of(scenario.workload(seed, rate_per_s, duration_s))
    return {
        name: figures_of(
            ModelledFleet(fleet, policy_named(name, scenario.ttft_slo_s), seed, case.crew).play(calls),
            fleet,
            scenario.ttft_slo_s,
        )
        for name in policies
    }


_Run = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[tuple[Any, Any]]]


@contextmanager
def _pool(jobs: int) -> Iterator[_Run]:
    """Runs a function over (key, arguments...) and gives (key, result) as they come."""
    if jobs == 1:
        yield lambda function, work: ((key, function(*arguments)) for key, *arguments in work)
        return
    # Spawned: a fork of a process with threads may find a lock that nobody will ever give back.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:

        def run(function: Callable[..., Any], work: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
            keys = {pool.submit(function, *arguments): key for key, *arguments in work}
            for future in as_completed(keys):
                yield keys[future], future.result()

        try:
            yield run
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, what has begun is waited for and no more
