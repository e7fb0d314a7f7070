"""What is set of one release: an arm that is not the control, of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routing.gate.guardrail import Guardrail
from routing.gate.rollout import RampPlan

if TYPE_CHECKING:
    from routing.experiments.bandit import Goal


@dataclass(frozen=True, slots=True)
class Hook:
    """Somebody who is asked, or told (`gateway.control.releases.webhooks`)."""

    kind: str
    url: str
    timeout_s: float = 10.0
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BanditPlan:
    """What sets the weights of an experiment."""

    metric: str
    """Of its guardrails."""
    goal: Goal
    every_s: float = 600.0


@dataclass(frozen=True, slots=True)
class ReleaseSpec:
    """See the module."""

    experiment: str
    """Its identity."""
    model: str
    name: str
    """Of the experiment, as metrics call it."""
    arm: str
    position: int
    """In the experiment's list of arms; 0 is the control's."""
    control: str
    share: float
    """Of the units, as the file has it; of one that is ramped, none."""
    sticky: bool
    """Whether a unit is more than one request."""
    ramp: RampPlan
    guardrails: Sequence[Guardrail]
    hooks: Sequence[Hook] = ()
    alone: bool = True
    """Whether it is the only one beside the control."""
    bandit: BanditPlan | None = None
    """None: the file, or a ramp, says the share."""
    most: float = 1.0
    """Of the units, what it may ever have."""

    @property
    def key(self) -> tuple[str, str]:
        """Experiment and arm: whose evidence and whose decisions."""
        return self.experiment, self.arm
