"""The named comparisons: a kind of traffic on a kind of fleet, and the SLO that says what a good answer is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.virtual import workloads
from gateway.virtual.fleet.replicas import A100, H100, Gpu, fleet_of
from gateway.virtual.trace import Arrival, at_rate, mean_rate_per_s, read_trace
from gateway.virtual.workloads import Workload

TTFT_SLO_S = 0.5


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is compared, but for the number of replicas and the load."""

    name: str
    says: str
    workload: Workload
    gpus: tuple[Gpu, ...] = (H100,)
    """Kinds of replicas, in turn."""
    ttft_slo_s: float = TTFT_SLO_S
    shares: bool | None = True
    """Whether prompts begin alike; None where nobody knows."""
    recorded_rate_per_s: float | None = None
    """The mean rate of a recording; None for made-up traffic."""

    def fleet(self, replicas: int) -> tuple[Gpu, ...]:
        return fleet_of(self.gpus, replicas)


ROOMY = Gpu(cache_tokens=96_000)

SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (
        Scenario(
            "shared-prompts",
            "48 system prompts of 12,000 characters, Zipf .8, of which a replica's cache holds 16",
            workloads.shared_prompts,
        ),
        Scenario(
            "chat", "conversations of 6 turns in the mean, each turn with all before it", workloads.chat, (ROOMY,)
        ),
        Scenario(
            "no-sharing",
            "prompts with nothing in common, median 800 tokens, log-normal",
            workloads.no_sharing,
            shares=False,
        ),
        Scenario(
            "shared-prompts-mixed",
            "the shared prompts on replicas of two kinds, one half as fast as the other",
            workloads.shared_prompts,
            (H100, A100),
        ),
    )
}

DEFAULT = ("shared-prompts", "chat", "no-sharing")


@functools.lru_cache(maxsize=8)  # a long recording is read once
def scenario_named(name: str) -> Scenario:
    """A scenario by name, or the trace in a file of that name. Raises ValueError and OSError."""
    known = SCENARIOS.get(name)
    if known is not None:
        return known
    path = Path(name)
    if not path.exists():
        raise ValueError(f"{name[:200]!r} is no file and no scenario; scenarios: {', '.join(SCENARIOS)}")
    arrivals = read_trace(path)
    return Scenario(
        path.name,
        f"{len(arrivals)} recorded arrivals",
        replayed(arrivals),
        (ROOMY,),
        TTFT_SLO_S,
        None,
        mean_rate_per_s(arrivals),
    )


def replayed(arrivals: list[Arrival]) -> Callable[[int, float, float], list[Arrival]]:
    """A recording as a workload: at another rate its times are stretched; no seed changes it."""

    def made(seed: int, rate_per_s: float, duration_s: float) -> list[Arrival]:
        return at_rate(arrivals, rate_per_s)

    return made
