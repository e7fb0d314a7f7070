"""Experiments whose weights a bandit sets: what `routing.experiments.bandit` wants is asked now and then, and done.

Shares go down before others go up, so that together they never are more than there is. An arm that was rolled back is
out of it; one that is paused, or of which the gate trusts nothing at the moment, is not raised.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from routing.gate.gate import HOLD, ROLLBACK
from routing.gate.rollout import PAUSED, RAMPING, RampDecision
from routing.gate.words import percent

if TYPE_CHECKING:
    import numpy as np

    from gateway.control.releases.release import Release
    from gateway.control.releases.spec import BanditPlan
    from routing.experiments.bandit import ArmSeen


class Wanted(NamedTuple):
    """What one arm is to have, and why."""

    share: float
    why: str


class Bandits:
    """Those of all experiments."""

    def __init__(self, seed: int | None = None) -> None:
        """`seed` None: another one each time."""
        self._seed = seed
        self._due_s: dict[str, float] = {}
        self._wanted: dict[str, dict[str, Wanted]] = {}

    @functools.cached_property
    def _rng(self) -> np.random.Generator:
        import numpy as np  # 0.1 s, which gateways without a bandit need not pay

        return np.random.default_rng(self._seed)

    def look(self, releases: Sequence[Release], now_s: float) -> Iterator[tuple[Release, RampDecision]]:
        """What is due of one experiment, `releases` being its arms beside the control, in their order."""
        plan = releases[0].spec.bandit
        if plan is None:
            return
        identity = releases[0].spec.experiment
        judged = [one for one in releases if one.ramp.state in (RAMPING, PAUSED) and one.ramp.share > 0.0]
        if now_s >= self._due_s.setdefault(identity, now_s + plan.every_s) and judged:
            self._due_s[identity] = now_s + plan.every_s
            self._wanted[identity] = self._wants(plan, judged)
        yield from self._steps(self._wanted.get(identity, {}), judged)

    def _wants(self, plan: BanditPlan, judged: Sequence[Release]) -> dict[str, Wanted]:
        from routing.experiments.bandit import shares, weights, winner

        seen = seen_by(plan.metric, judged)
        parts, best = weights(seen, plan.goal, self._rng), winner(seen, plan.goal)
        if parts is None:
            return {}
        names = [judged[0].spec.control, *[one.spec.arm for one in judged]]
        if best is not None:
            floor = plan.goal.floor
            parts = [1.0 - (len(seen) - 1) * floor if arm == best else floor for arm in range(len(seen))]
            why = f"{names[best]} is the best by {plan.metric}, at a level of {percent(plan.goal.delta)}"
        else:
            why = f"by {plan.metric}, none of {', '.join(names)} is surely the best yet"
        now = [one.ramp.share for one in judged]
        found = shares(parts[1:], now, [one.spec.most for one in judged], [held(one) for one in judged])
        return {one.spec.arm: Wanted(share, why) for one, share in zip(judged, found, strict=True)}

    def _steps(self, wanted: Mapping[str, Wanted], judged: Sequence[Release]) -> Iterator[tuple[Release, RampDecision]]:
        taken = sum(one.ramp.share for one in judged)
        for release in judged:
            want, have = wanted.get(release.spec.arm), release.ramp.share
            if want is None or want.share == have or release.ramp.state == PAUSED:
                continue
            if want.share < have or (not held(release) and taken + want.share - have <= 1.0 + 1e-9):
                taken += max(0.0, want.share - have)
                yield release, RampDecision("weigh", have, want.share, want.why)


def held(release: Release) -> bool:
    """Whether an arm may not be raised."""
    verdict = release.gate.verdict()
    return release.ramp.state == PAUSED or verdict.action == ROLLBACK or (verdict.action == HOLD and verdict.stop)


def seen_by(metric: str, releases: Sequence[Release]) -> list[ArmSeen]:
    """Of the control, and of each arm. Of the control each gate has seen the same, but for those that began anew."""
    from routing.experiments.bandit import ArmSeen

    both = [one.gate.sample(metric) for one in releases]
    control = max((pair[0] for pair in both), key=lambda one: one[0])
    return [ArmSeen(*control), *[ArmSeen(*pair[1]) for pair in both]]
