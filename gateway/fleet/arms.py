"""What serves each arm of a public model's experiment, and its shadow: the model itself, with some of its sections
replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.fleet.snapshot import UNNAMED

if TYPE_CHECKING:
    from gateway.settings import ArmSection, Model, Target


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm."""

    model: Model
    """The model as it would be without its experiment, if this arm were all of it."""
    own: int = 0
    """How many of its targets, the first, are the arm's own; the others are asked when those are exhausted. 0: it has
    none of its own, and all of the model's are its."""
    shadow: bool = False
    """Whether only copies of requests are sent there."""

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.model.targets


def arms_of(model: Model) -> Mapping[str, Arm]:
    """By arm, the control first. A model without an experiment has one arm, `UNNAMED`: itself."""
    experiment = model.experiment
    if experiment is None:
        return {UNNAMED: Arm(model)}
    control = experiment.control_arm
    return {arm: _arm(model, experiment.arms[arm]) for arm in (control, *experiment.others)}


def shadow_of(model: Model) -> Arm | None:
    """What copies of the model's requests are sent to; None where none are. Of an arm its own targets alone: a copy
    that finds none of them is not made."""
    shadow = model.shadow
    if shadow is None:
        return None
    targets, policy, params = shadow.targets, model.policy, shadow.params
    if shadow.arm is not None:
        assert model.experiment is not None
        arm = model.experiment.arms[shadow.arm]
        targets, policy, params = arm.targets or model.targets, arm.policy or policy, arm.params
    update = {
        "experiment": None,
        "shadow": None,
        "targets": targets,
        "policy": policy,
        "params": params or model.params,
    }
    return Arm(model.model_copy(update=update), shadow=True)


def all_of(model: Model) -> list[Arm]:
    """Its arms and its shadow: whatever its requests, or copies of them, may be sent to."""
    shadow = shadow_of(model)
    return [*arms_of(model).values(), *([] if shadow is None else [shadow])]


def targets_of(model: Model) -> Iterator[Target]:
    """Those of all its arms and of its shadow; some more than once."""
    if model.experiment is None and model.shadow is None:
        return iter(model.targets)  # most: 300 models are gone through in one turn of the loop
    return (target for arm in all_of(model) for target in arm.targets)


def engines_of_clients(models: Mapping[str, Model]) -> frozenset[str]:
    """Those that answer clients of any model, in whatever arm."""
    return frozenset(
        target.engine for model in models.values() for arm in arms_of(model).values() for target in arm.targets
    )


def _arm(model: Model, section: ArmSection) -> Arm:
    """The model's targets come after all of the arm's own: tried last, when those are exhausted."""
    targets = model.targets
    if section.targets:
        own = {(target.engine, target.model) for target in section.targets}
        after = 1 + max(target.tier for target in section.targets)
        rest = [target for target in targets if (target.engine, target.model) not in own]
        targets = (
            *section.targets,
            *[target.model_copy(update={"tier": target.tier + after}) for target in rest],
        )
    update = {
        "experiment": None,
        "shadow": None,
        "targets": targets,
        "policy": section.policy or model.policy,
        "params": section.params or model.params,
    }
    return Arm(model.model_copy(update=update), len(section.targets))
