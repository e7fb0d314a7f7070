"""An experiment of one model: its arms, whom they serve, and how a release is ramped up."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from engines.settings.fields import Name, Number, Section, Text, Url, Whole
from gateway.settings.sections.params import ParamsSection
from gateway.settings.sections.targets import Policy, Target
from routing.experiments.assignment import BUCKETS

MOST_ARMS = 16
MOST_S = 30 * 86_400

Percent = Annotated[Number, Field(ge=0, le=100)]
Span = Annotated[Number, Field(ge=0, le=MOST_S)]
UnitName = Annotated[
    str, StringConstraints(pattern=r"^(user|session|key|tenant|request|header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128})$")
]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class ArmSection(Section):
    """One arm. What it leaves out is the model's."""

    weight: Percent | None = Field(
        default=None, description="percent of the units, 0 to 100; the control has what the others leave"
    )
    targets: tuple[Target, ...] = Field(
        default=(), max_length=256, description="its own, tried before the model's; left out, the model's alone"
    )
    policy: Policy | None = Field(default=None, description="{name: prefix}")
    params: ParamsSection | None = Field(default=None, description="{temperature: {set: 0.2}}; takes the model's place")


class StepSection(Section):
    """One step of a ramp."""

    weight: Annotated[Number, Field(gt=0, le=100)] = Field(description="percent of the units, above 0, to 100")
    bake_s: Span = Field(default=600.0, description="seconds that it lasts at least; 600 is usual")


class GuardrailSection(Section):
    """One thing that a release must not make worse."""

    better: Literal["lower", "higher"] | None = Field(
        default=None, description="lower or higher; of a metric of your own, which it is"
    )
    margin: Annotated[Number, Field(gt=1, le=100)] = Field(
        default=1.5, description="times the control's rate that must be ruled out before 100 %; 1.5 is usual"
    )
    alpha: Annotated[Number, Field(gt=0, le=0.5)] = Field(
        default=0.01, description="how often a release that is no worse may be rolled back; 0.01 is usual"
    )
    rho: Annotated[Number, Field(ge=1, le=10)] = Field(
        default=1.1, description="times the control's rate that is still called no worse; 1.1 is usual"
    )


USUAL_GUARDRAILS = {name: GuardrailSection() for name in ("errors", "attempt_failures", "ttft", "tpot", "duration")}


class WindowSection(Section):
    """When a ramp may go on. Rolling back is always allowed."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), min_length=1, description="[mon, tue, wed, thu]"
    )
    start: TimeOfDay = Field(default="00:00", description='"09:00", local to timezone')
    end: TimeOfDay = Field(
        default="00:00", description='"17:00"; 00:00 is the end of the day; before start: of the next day'
    )
    timezone: Text = Field(default="UTC", description="a name such as Europe/Berlin")


class WebhookSection(Section):
    """Who is asked, or told. The kinds are Flagger's."""

    kind: Literal[
        "confirm-rollout",
        "pre-rollout",
        "rollout",
        "confirm-traffic-increase",
        "confirm-promotion",
        "post-rollout",
        "rollback",
        "event",
    ] = Field(description="confirm-rollout, pre-rollout, rollout, confirm-traffic-increase, confirm-promotion, ...")
    url: Url = Field(description="http(s)://...")
    timeout_s: Annotated[Number, Field(gt=0, le=600)] = Field(default=10.0, description="seconds; 10 is usual")
    metadata: dict[Text, Text] = Field(default_factory=dict, description="{team: search}: sent along")


class BanditSection(Section):
    """Weights that go where answers are best."""

    metric: Name = Field(description="errors, or another of the guardrails: what the best arm has the least of")
    floor: Annotated[Number, Field(ge=0.01, le=0.5)] = Field(
        default=0.05, description="the least part of the units that an arm keeps; 0.05 is usual"
    )
    min_units: Whole = Field(default=100, ge=10, le=10**9, description="of each arm before weights move; 100 is usual")
    delta: Annotated[Number, Field(gt=0, le=0.5)] = Field(
        default=0.05, description="how often another arm than the best may be declared it; 0.05 is usual"
    )
    every_s: Annotated[Number, Field(ge=1, le=86_400)] = Field(
        default=600.0, description="seconds between two looks; 600 is usual"
    )


class TargetingSection(Section):
    """Who takes part at all; the others are served as the control is and counted nowhere."""

    keys: tuple[Name, ...] = Field(default=(), description="ids under auth.keys; left out, all")
    tenants: tuple[Name, ...] = Field(default=(), description="tenants of keys; left out, all")
    headers: dict[Text, Text] = Field(
        default_factory=dict, description="{x-region: eu}: each must be there, with this value"
    )


class ExperimentSection(Section):
    """See the module."""

    name: Name | None = Field(default=None, description="as metrics call it; left out, as the model is called")
    salt: Text = Field(description="any text; another one is another experiment, with other units in each arm")
    layer: Name | None = Field(
        default=None, description="experiments of one layer share no unit; left out, the model has a layer of its own"
    )
    buckets: tuple[Whole, Whole] = Field(
        default=(0, BUCKETS),
        description="its range of the layer's 1,000,000 buckets, such as [0, 500000]; what no range covers is held out",
    )
    unit: UnitName = Field(
        default="user",
        description="user (safety_identifier, user or metadata.user_id of the body), session, key, tenant, request, or "
        "header:NAME",
    )
    arms: dict[Name, ArmSection] = Field(
        max_length=MOST_ARMS, description="{control: {}, canary: {weight: 5, targets: [...]}}"
    )
    control: Name | None = Field(default=None, description="the arm the others are compared with; left out, the first")
    steps: tuple[StepSection, ...] = Field(
        default=(), max_length=64, description="[{weight: 1, bake_s: 600}, {weight: 25}, {weight: 100}]"
    )
    bandit: BanditSection | None = Field(
        default=None, description="{metric: thumbs_up}: it sets the weights, which are what arms begin with"
    )
    guardrails: dict[Name, GuardrailSection] = Field(
        default=USUAL_GUARDRAILS, min_length=1, max_length=32, description="{errors: {margin: 1.5}, ttft: {}}"
    )
    min_units: Whole = Field(default=100, ge=1, le=10**9, description="of the canary, before it may be promoted")
    max_hold_s: Span = Field(default=86_400.0, description="seconds of holding after which somebody is told")
    windows: tuple[WindowSection, ...] = Field(
        default=(), max_length=64, description="[{days: [mon, tue], start: '09:00', end: '16:00'}]; left out, always"
    )
    webhooks: tuple[WebhookSection, ...] = Field(
        default=(), max_length=64, description="[{kind: confirm-promotion, url: https://...}]"
    )
    targeting: TargetingSection = Field(default=TargetingSection(), description="{tenants: [beta]}")

    @property
    def control_arm(self) -> str:
        return self.control or next(iter(self.arms))

    @property
    def others(self) -> tuple[str, ...]:
        """The arms beside the control, in the order of the file."""
        return tuple(arm for arm in self.arms if arm != self.control_arm)
