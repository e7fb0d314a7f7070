"""A ramp: which share of units a canary has, from its first step to all of them, or to none.

    idle --start--> ramping --steps, then a promotion--> promoted
                      |  ^
                  pause  resume            from ramping and paused: abort, or the gate's rollback --> rolled_back

A step goes on once it has baked, has met enough units of the canary, lies within a window, and the gate has nothing
against it; from the last step before 100 % it goes on only when the gate says `promote`. A rollback waits for nothing.
Started again after its end, a ramp begins at its first step, with the same units and with evidence anew (`round`).

Time is given as seconds that never go backwards, and only time in which the gate was awake counts as baked: a gateway
that was down, or a clock that was put forward, bakes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from typing import Any, Final, NamedTuple

from routing.gate.gate import PROMOTE, ROLLBACK, Ruling
from routing.gate.rounds import boundary_ms
from routing.gate.words import percent

IDLE: Final = "idle"
RAMPING: Final = "ramping"
PAUSED: Final = "paused"
PROMOTED: Final = "promoted"
ROLLED_BACK: Final = "rolled_back"

AWAKE_S: Final = 5.0
"""Of a longer time between two looks, only so much counts as baked."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a ramp."""

    share: float
    """Of the units, above 0, to 1."""
    bake_s: float = 600.0


@dataclass(frozen=True, slots=True)
class RampWindow:
    """When a ramp may go on."""

    days: frozenset[int]
    """0 is Monday."""
    start: time
    end: time
    """Not this minute any more; midnight is the end of the day. Before `start`, or as early, it is the next day's."""
    zone: tzinfo

    def holds(self, at: datetime) -> bool:
        """Whether a moment lies within."""
        local = at.astimezone(self.zone)
        now, day = local.time(), local.weekday()
        if self.end == time(0) or self.start < self.end:
            return day in self.days and self.start <= now and (self.end == time(0) or now < self.end)
        return (day in self.days and self.start <= now) or ((day - 1) % 7 in self.days and now < self.end)


@dataclass(frozen=True, slots=True)
class RampPlan:
    """What is set of a ramp."""

    steps: Sequence[Step]
    """Shares go up. None: the shares are the file's, and the gate can only roll back."""
    min_units: int = 100
    """Of the canary, before a step goes on."""
    max_hold_s: float = 86_400.0
    """Of holding, after which somebody is told."""
    windows: Sequence[RampWindow] = ()
    """None: always."""


class RampDecision(NamedTuple):
    """Something that was done, or is about to be."""

    action: str
    """`start`, `advance`, `promote`, `rollback`, `pause`, `resume`, `abort`; `held` for somebody to know."""
    before: float
    """The canary's share."""
    after: float
    sentence: str
    by: str = ""
    """The key of who pressed it; empty where the gate did."""


class WrongMoment(ValueError):
    """What is asked for makes no sense in this state; the message says why."""


class Rollout:
    """The state of one ramp."""

    __slots__ = (
        "_at_s",
        "baked_s",
        "ended_ms",
        "held_s",
        "held_told",
        "plan",
        "round",
        "share",
        "since_ms",
        "state",
        "step",
        "why",
    )

    def __init__(self, plan: RampPlan, share: float = 0.0) -> None:
        """`share` is the canary's where nothing ramps it."""
        self.plan = plan
        self.state = IDLE if plan.steps else RAMPING
        self.step = 0
        self.share = 0.0 if plan.steps else share
        self.round = 1
        """Counts ramps: evidence is of one of them."""
        self.since_ms = 0
        """Requests from this Unix time on are of this round; 0: all are."""
        self.ended_ms = 0
        """When the canary last ceased to be judged."""
        self.baked_s = 0.0
        self.held_s = 0.0
        """How long it has been ripe for the next step but for what the gate, or a window, says."""
        self.held_told = False
        self.why = ""
        """The sentence of now."""
        self._at_s: float | None = None

    @property
    def live(self) -> bool:
        """Whether the canary is under judgement."""
        return self.state in (RAMPING, PAUSED) and self.share > 0.0

    @property
    def _next(self) -> float:
        """The share after this step: a larger one, whatever the plan was when this one began."""
        return next((step.share for step in self.plan.steps[self.step :] if step.share > self.share), 1.0)

    def use(self, plan: RampPlan) -> None:
        """Go on by this plan, with the share of now: at the last of its steps that has no larger one."""
        self.plan = plan
        if self.live:
            self.step = self._step_of(self.share)
        else:
            self.step = max(0, min(self.step, len(plan.steps) - 1))

    def _step_of(self, share: float) -> int:
        """The last step with at most this share; the first, where all have more."""
        return max(0, sum([step.share <= share for step in self.plan.steps]) - 1)

    # -- what the gate does --------------------------------------------------------------------------------------------

    def look(self, verdict: Ruling, units: int, now_s: float, wall: datetime, against: str = "") -> RampDecision | None:
        """What is due now, if anything is; `done` is to follow it. `units`: of the canary, met in this step. `against`:
        what somebody who was asked has against the next step, which is due all the same, to be asked for again.

        A decision to advance or to promote may be put off, by calling nothing.
        """
        passed_s = 0.0 if self._at_s is None else min(AWAKE_S, max(0.0, now_s - self._at_s))
        self._at_s = now_s
        if not self.live:
            return None
        if verdict.action == ROLLBACK:
            return RampDecision("rollback", self.share, 0.0, verdict.sentence)
        self.why = verdict.sentence
        if self.state == PAUSED or not self.plan.steps:
            return None
        self.baked_s += passed_s
        waits = self._waits(verdict, units, wall)
        due = self._due(verdict) if waits is None else None
        if due is not None and not against:
            return due
        why, ripe = waits or (against, True)
        self.why = why
        if not ripe:
            return None
        self.held_s += passed_s
        if self.held_s > self.plan.max_hold_s and not self.held_told:
            return RampDecision("held", self.share, self.share, f"held for {self.held_s:.0f} s: {why}")
        return due

    def _due(self, verdict: Ruling) -> RampDecision:
        """The next step."""
        if self._next >= 1.0:
            return RampDecision("promote", self.share, 1.0, verdict.sentence)
        harmless = f"nothing speaks against it at {percent(self.share)} of the units"
        return RampDecision("advance", self.share, self._next, harmless)

    def _waits(self, verdict: Ruling, units: int, wall: datetime) -> tuple[str, bool] | None:
        """What the next step waits for, and whether that is more than its own time; None: for nothing."""
        bake_s = self.plan.steps[self.step].bake_s
        if self.baked_s < bake_s:
            return f"baking, {self.baked_s:.0f} of {bake_s:.0f} s", False
        if units < self.plan.min_units:
            return f"{units} of {self.plan.min_units} units of the canary were met in this step", True
        if self._next >= 1.0 and verdict.action != PROMOTE:
            return verdict.sentence, True
        if verdict.stop:
            return verdict.sentence, True
        if self.plan.windows and not any(window.holds(wall) for window in self.plan.windows):
            return "outside the windows in which it may go on", True
        return None

    # -- what people do ------------------------------------------------------------------------------------------------

    def start(self, by: str) -> RampDecision:
        """Begin at the first step. Raises WrongMoment."""
        if not self.plan.steps:
            raise WrongMoment("this experiment has no steps: its shares are those of the file")
        if self.state in (RAMPING, PAUSED):
            raise WrongMoment(f"it is {self.state} already")
        return RampDecision("start", self.share, self.plan.steps[0].share, "started", by)

    def pause(self, by: str) -> RampDecision:
        """Stay at this step; the gate may still roll back. Raises WrongMoment."""
        if self.state != RAMPING or not self.plan.steps:
            raise WrongMoment(f"only what is ramping can be paused, and it is {self.state}")
        return RampDecision("pause", self.share, self.share, "paused", by)

    def resume(self, by: str) -> RampDecision:
        """Go on. Raises WrongMoment."""
        if self.state != PAUSED:
            raise WrongMoment(f"only what is paused can be resumed, and it is {self.state}")
        return RampDecision("resume", self.share, self.share, "resumed", by)

    def promote(self, by: str) -> RampDecision:
        """All units at once, whatever the evidence. Raises WrongMoment."""
        if self.state == PROMOTED:
            raise WrongMoment("it is promoted already")
        return RampDecision("promote", self.share, 1.0, "promoted by hand", by)

    def abort(self, by: str) -> RampDecision:
        """No units at once. Raises WrongMoment."""
        if self.state == ROLLED_BACK:
            raise WrongMoment("it is rolled back already")
        return RampDecision("abort", self.share, 0.0, "aborted by hand", by)

    # -- and then ------------------------------------------------------------------------------------------------------

    def done(self, decision: RampDecision, at_ms: int = 0) -> None:
        """A decision is carried out at this Unix time: the canary has the share that it says."""
        action = decision.action
        if action == "held":
            self.held_told = True
            return
        if action == "start":
            if self.state != IDLE:
                self.round += 1
                self.since_ms = boundary_ms(self.ended_ms or at_ms, at_ms)
            self.state, self.step = RAMPING, 0
        elif action == "advance":
            self.step = self._step_of(decision.after)
        elif action == "promote":
            self.state, self.ended_ms = PROMOTED, at_ms
        elif action in ("rollback", "abort"):
            self.state, self.ended_ms = ROLLED_BACK, at_ms
        else:
            self.state = PAUSED if action == "pause" else RAMPING
        if action not in ("pause", "resume"):
            self.baked_s = self.held_s = 0.0
            self.held_told = False
        self.share = decision.after
        self.why = decision.sentence

    def kept(self) -> dict[str, Any]:
        """To go on from later (`restore`)."""
        return {
            "state": self.state,
            "step": self.step,
            "share": self.share,
            "round": self.round,
            "since_ms": self.since_ms,
            "ended_ms": self.ended_ms,
            "baked_s": self.baked_s,
            "held_s": self.held_s,
            "held_told": self.held_told,
            "why": self.why,
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """As it was; the stored share wins over the plan's, which may be another one now."""
        self.state, self.share, self.round = kept["state"], kept["share"], kept["round"]
        self.step = kept["step"]
        self.use(self.plan)
        self.since_ms, self.ended_ms = kept.get("since_ms", 0), kept.get("ended_ms", 0)  # older versions had none
        self.baked_s, self.held_s = kept["baked_s"], kept["held_s"]
        self.held_told, self.why = kept["held_told"], kept["why"]
        self._at_s = None
