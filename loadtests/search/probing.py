"""The real probe of a search, and the real leg of a comparison: one run each, in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import msgspec

from loadtests.cli.attended import attend
from loadtests.run.outcome import scheduled
from loadtests.run.run import RunResult
from loadtests.schedule.arrivals import with_rate
from loadtests.schedule.plan import Plan
from loadtests.search.compare import Leg
from loadtests.search.search import BacklogWatch, Probed
from loadtests.statistics.columns import Columns
from loadtests.statistics.honesty import Honesty, examine
from loadtests.statistics.summary import summarise
from loadtests.statistics.window import fixed_window

WARM_UP_SHARE = 0.2
"""Of each probe: it starts with empty queues, and its first requests would flatter the rate."""
_SEED_STEP = 1_000_003


class RateProbe:
    """Runs `plan` at the rates that a search asks for; the schedule of each attempt has a seed of its own."""

    def __init__(self, plan: Plan, out: Path) -> None:
        self._plan = plan
        self._out = out
        self._count = 0

    def __call__(self, rate: float, attempt: int, backlog: BacklogWatch) -> Probed:
        """See `loadtests.search.search.Probe`. Raises RunError, and KeyboardInterrupt when it was stopped by hand."""
        self._count += 1
        plan = msgspec.structs.replace(
            self._plan,
            arrivals=with_rate(self._plan.arrivals, rate),
            seed=self._plan.seed + attempt * _SEED_STEP,
            salt=f"{self._plan.salt}probe{self._count}",
        )
        grown = False

        def grows(t_s: float, in_flight: int) -> bool:
            nonlocal grown
            grown = grown or (t_s < plan.duration_s and backlog.grows(t_s, in_flight))
            return grown

        name = f"probe-{self._count:02d}"
        result = attend(plan, self._out / name, f"{rate:.4g} requests/s", lambda now: grows(now.t_s, now.in_flight))
        if result.stopped and not grown:
            raise KeyboardInterrupt
        return probed(result, aborted=grown)


def probed(result: RunResult, *, aborted: bool = False) -> Probed:
    """What a search needs to know of a run."""
    run = scheduled(result)
    honesty = _honesty(result, run)
    window = fixed_window(result.started_ns, result.ran_s, WARM_UP_SHARE * result.ran_s)
    summary = summarise(run, window, result.plan.slo)
    ttft, tpot, e2e = summary.ttft_response, summary.tpot, summary.e2e_response
    return Probed(
        good=summary.attainment.good,
        scheduled=summary.scheduled,
        duration_s=window.length_s,
        aborted=aborted,
        valid=honesty.valid,
        reasons=honesty.reasons,
        ttft_p50_s=ttft.at(0.5) if ttft else None,
        ttft_p99_s=ttft.at(0.99) if ttft else None,
        tpot_p99_s=tpot.at(0.99) if tpot else None,
        e2e_p99_s=e2e.at(0.99) if e2e else None,
    )


class PairedLegs:
    """Runs the legs of a comparison, and remembers which of them the client spoiled."""

    def __init__(self, a: Plan, b: Plan, out: Path) -> None:
        """The two plans differ in their targets, and may in model and headers."""
        self._plans = {"a": a, "b": b}
        self._out = out
        self.spoiled: list[str] = []

    def __call__(self, leg: Leg) -> Columns:
        """One leg. Raises RunError, and KeyboardInterrupt when it was stopped by hand."""
        plan = self._plans[leg.side]
        plan = msgspec.structs.replace(plan, seed=leg.seed, salt=f"{plan.salt}{leg.salt}")
        heading = f"round {leg.round + 1}, side {leg.side}"
        result = attend(plan, self._out / f"round-{leg.round + 1:02d}{leg.side}", heading)
        if result.stopped:
            raise KeyboardInterrupt
        run = scheduled(result)
        self.spoiled += [f"{heading}: {reason}" for reason in _honesty(result, run).reasons]
        return run


def _honesty(result: RunResult, run: Columns) -> Honesty:
    return examine(run, result.started_ns, result.ran_s, open_loop=result.plan.open_loop, workers=result.loads())
