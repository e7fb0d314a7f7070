"""Every rule on every trace, with every start-up time: attainment against replica-hours, and what ours must reach."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from gateway.virtual.scaling.pool import REPLICA, ElasticPool, Played, Terms
from gateway.virtual.scaling.rules import Rule
from gateway.virtual.scaling.rules.aibrix import Apa
from gateway.virtual.scaling.rules.hpa import Hpa, Keda
from gateway.virtual.scaling.rules.knative import Kpa
from gateway.virtual.scaling.rules.llm_d import LlmDQueue, LlmDSlo, llm_d_tokens
from gateway.virtual.scaling.rules.ours import Ours
from gateway.virtual.scaling.rules.wva import Wva
from gateway.virtual.scaling.seen import Seen
from gateway.virtual.scaling.traffic import MEAN_TOKENS, TRACES
from gateway.virtual.trace import Call, calls_of
from routing.autoscale.settings import AutoscaleSettings
from routing.autoscale.signals import Bounds

TTFT_S: Final = 2.0
"""The SLO; the longest prompt takes 1.5 s by itself."""
AIM: Final = 0.999
"""What ours is told to attain: of rules without such a number, the careful ones come near it on an even hill."""
TPOT_S: Final = 0.08
RUNNING: Final = 16.0
"""Requests at once per replica, as llm-d's rule has it; here that is 80 % of what one can do."""
CAPACITY: Final = 20.0
"""What one can do at once: Knative takes 70 % of it."""
WAITING: Final = 5.0
OURS: Final = "penstock"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule in one run."""

    trace: str
    startup_s: float
    seed: int
    rule: str
    attainment: float
    """The part of the requests whose first token came within the SLO."""
    replica_hours: float
    changes: int
    flips: int
    """The most changes of direction within two start-up times."""


def rules(
    startup_s: float, settings: AutoscaleSettings | None = None, aims: Sequence[float] = ()
) -> list[Callable[[], Rule]]:
    """Ours first, also with each of these aims, then the others."""
    ours = settings or AutoscaleSettings(ttft_ms=1000.0 * TTFT_S, startup_s=startup_s, attainment=AIM)
    bounds = Bounds(0, Terms(startup_s).most)

    def aimed(aim: float) -> Callable[[], Rule]:
        return lambda: Ours(replace(ours, attainment=aim), bounds, f"{OURS} {aim:g}")

    return [
        lambda: Ours(ours, bounds),
        *[aimed(aim) for aim in aims],
        lambda: Kpa(CAPACITY),
        lambda: Hpa("hpa", [(_in_flight, RUNNING)]),
        lambda: Keda(Hpa("keda", [(_waiting, WAITING)]), lambda seen: seen.in_flight > 0),
        lambda: Apa(RUNNING),
        LlmDQueue,
        lambda: llm_d_tokens(TTFT_S, MEAN_TOKENS, REPLICA.prefill_tokens_per_s),
        lambda: LlmDSlo(TTFT_S, TPOT_S),
        Wva,
    ]


def compare(
    traces: Sequence[str],
    startups_s: Sequence[float],
    seeds: Sequence[int],
    say: Callable[[str], None],
    jobs: int = 1,
    aims: Sequence[float] = (),
) -> Iterator[Row]:
    """All runs, in so many processes; `say` hears of those that are over."""
    parts = [(name, seed, startup_s, tuple(aims)) for name in traces for seed in seeds for startup_s in startups_s]
    with contextlib.ExitStack() as stack:
        each: Iterator[list[Row]] = map(rows_of, parts)
        if jobs > 1:
            spawned = multiprocessing.get_context("spawn")
            each = stack.enter_context(ProcessPoolExecutor(jobs, spawned)).map(rows_of, parts)
        for rows in each:
            for row in rows:
                what = f"{row.trace} {row.startup_s:.0f} s, seed {row.seed}, {row.rule}"
                say(f"{what}: {row.attainment:.4f}, {row.replica_hours:.2f} h")
            yield from rows


def rows_of(part: tuple[str, int, float, tuple[float, ...]]) -> list[Row]:
    """Every rule on one trace, under one seed, with one start-up time; ours with these aims, too."""
    name, seed, startup_s, aims = part
    calls = calls_of(TRACES[name](seed))
    return [run(name, calls, make(), Terms(startup_s), seed) for make in rules(startup_s, aims=aims)]


def run(trace: str, calls: Sequence[Call], rule: Rule, terms: Terms, seed: int) -> Row:
    """One run."""
    played = ElasticPool(rule, terms, seed).play(calls)
    flips = most_flips(played, 2.0 * terms.startup_s)
    return Row(
        trace,
        terms.startup_s,
        seed,
        rule.name,
        attained(played, TTFT_S),
        played.replica_s / 3600.0,
        len(played.changes),
        flips,
    )


def attained(played: Played, ttft_s: float) -> float:
    """The part of the requests whose first token came so soon."""
    return sum([one <= ttft_s for one in played.ttfts_s]) / max(1, len(played.ttfts_s))


def most_flips(played: Played, within_s: float) -> int:
    """The most changes of direction in any span of so many seconds."""
    turns: list[float] = []
    last = 0
    for at_s, before, after in played.changes:
        direction = 1 if after > before else -1
        if last and direction != last:
            turns.append(at_s)
        last = direction
    return max([sum([at_s - within_s < other <= at_s for other in turns]) for at_s in turns], default=0)


def _in_flight(seen: Seen) -> float:
    return float(seen.last.running + seen.last.waiting)


def _waiting(seen: Seen) -> float:
    return float(seen.last.waiting)
