"""What the configuration says of one experiment, and the identity that its evidence and its weights belong to.

The identity changes with whatever gives units other arms or arms another meaning: the salt, the layer, the range, the
unit, who takes part, and the bundles of the arms. Steps and guardrails are no part of it: they may change while
an experiment runs. So may the weight of an only arm beside the control. Of several arms, weights say where in the range
each has its place: other weights give units other arms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import floor
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from gateway.settings import ExperimentSection, Model

DIGITS: Final = 16
"""Of the identity, in hex."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One experiment."""

    identity: str
    model: str
    name: str
    """As metrics call it."""
    layer: str
    arms: tuple[str, ...]
    """The control first."""
    bundles: Mapping[str, str]
    """By arm (`gateway.fleet.bundles`)."""
    section: ExperimentSection

    @property
    def most(self) -> Mapping[str, float]:
        """The part of the range that each arm beside the control may ever take: all of it together, in proportion to
        the weights that the file gives them."""
        start, end = self.section.buckets
        whole = end - start
        given = self._given()
        left, total = whole - sum(given.values()), sum(given.values())
        weights = {arm: count / total if total else 1.0 / len(given) for arm, count in given.items()}
        return {arm: (count + floor(left * weights[arm])) / whole for arm, count in given.items()}

    @property
    def shares(self) -> Mapping[str, float]:
        """What each arm beside the control has until a rollout says otherwise. One that is ramped has nothing then."""
        start, end = self.section.buckets
        if self.section.steps:
            return dict.fromkeys(self.arms[1:], 0.0)
        return {arm: count / (end - start) for arm, count in self._given().items()}

    def _given(self) -> dict[str, int]:
        """Buckets by arm, as the file's weights say."""
        start, end = self.section.buckets
        left = end - start
        given = {}
        for arm in self.arms[1:]:
            count = min(left, round((self.section.arms[arm].weight or 0.0) / 100 * (end - start)))
            given[arm] = count
            left -= count
        return given


def plan_of(name: str, model: Model, bundles: Mapping[str, str]) -> Plan | None:
    """The experiment of one public model, None where it has none. `bundles` by arm."""
    section = model.experiment
    if section is None:
        return None
    arms = (section.control_arm, *section.others)
    layer = section.layer or name
    says = [
        name,
        section.salt,
        layer,
        section.buckets,
        section.unit,
        section.targeting.model_dump(mode="json"),
        [(arm, bundles[arm]) for arm in arms],
    ]
    plan = Plan("", name, section.name or name, layer, arms, bundles, section)
    if len(arms) > 2:
        says.append(sorted(plan.most.items()))
    identity = hashlib.sha256(msgspec.json.encode(says, order="deterministic")).hexdigest()[:DIGITS]
    return replace(plan, identity=identity)
