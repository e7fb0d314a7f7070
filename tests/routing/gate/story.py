"""A release played on a simulated clock: so many requests a second, a look each second, and all that was decided."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from routing.gate.gate import Gate
from routing.gate.guardrail import Guardrail
from routing.gate.rollout import RampDecision, RampPlan, Rollout, Step
from tests.routing.gate.traffic import GOOD, Arm, request

STEPS = (Step(0.05, 60.0), Step(0.25, 60.0), Step(0.5, 60.0))
PLAN = RampPlan(STEPS, min_units=20, max_hold_s=3_600.0)
RAILS = (Guardrail("errors"), Guardrail("ttft"), Guardrail("cost"))
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""A Monday."""


@dataclass
class Story:
    """A gate and a ramp, and what happens to them."""

    canary: Arm = GOOD
    control: Arm = field(default_factory=lambda: GOOD)
    plan: RampPlan = PLAN
    rails: Sequence[Guardrail] = RAILS
    rate_per_s: float = 25.0
    seed: int = 1

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now_s = 0.0
        self.wall = NOON
        self.gate = Gate(self.rails, sticky=False)
        self.rollout = Rollout(self.plan)
        self.done: list[RampDecision] = []
        self.requests = [0, 0]

    def press(self, button: Callable[[str], RampDecision]) -> RampDecision:
        """Somebody presses it."""
        decision = button("alice")
        self._do(decision)
        return decision

    def second(self) -> RampDecision | None:
        """One second of traffic, with a look after each request, as the loop's wake-up at a rollback has it."""
        self.now_s += 1.0
        self.wall += timedelta(seconds=1)
        share = self.rollout.share
        due = self.rate_per_s * self.now_s
        for _ in range(int(due) - int(due - self.rate_per_s)):
            arm = int(self.rng.random() < share)
            self.requests[arm] += 1
            kind = self.canary if arm else self.control
            shares = (1.0 - share, share)
            told = [self.gate.tell(one) for one in request(self.rng, arm, kind, self.rng.getrandbits(64), shares)]
            if any(told):
                return self.look()
        return self.look()

    def look(self) -> RampDecision | None:
        decision = self.rollout.look(self.gate.verdict(), self.gate.step_units, self.now_s, self.wall)
        if decision is not None:
            self._do(decision)
        return decision

    def play(self, seconds: float) -> list[str]:
        """What was decided within so much time, or until the ramp is over."""
        decided = []
        for _ in itertools.repeat(None, int(seconds)):
            decision = self.second()
            if decision is not None:
                decided.append(decision.action)
            if not self.rollout.live:
                break
        return decided

    def _do(self, decision: RampDecision) -> None:
        if decision.action == "start":
            self.gate = Gate(self.rails, sticky=False)
        self.rollout.done(decision)
        if decision.action in ("advance", "start"):
            self.gate.begin_step()
        self.done.append(decision)
