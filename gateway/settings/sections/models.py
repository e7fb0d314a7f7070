"""The public models, and where each is served."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.settings.fields import Number, Ratio, Seconds, Section, Whole
from gateway.settings.sections.continuation import ContinuationSection
from gateway.settings.sections.ejection import EjectionSection
from gateway.settings.sections.experiment import ExperimentSection
from gateway.settings.sections.hedging import HedgingSection
from gateway.settings.sections.params import ParamsSection
from gateway.settings.sections.recording import Recording
from gateway.settings.sections.shadow import ShadowSection
from gateway.settings.sections.targets import Policy, Target


class Objective(Section):
    """What the model's clients are to notice."""

    ttft_ms: Number | None = Field(default=None, gt=0, le=3_600_000, description="milliseconds to the first token")
    refuse_late: bool = Field(
        default=False, description="true refuses at once what would miss ttft_ms; policy slo alone"
    )
    tpot_ms: Number | None = Field(
        default=None, gt=0, le=60_000, description="milliseconds per output token; what releases are held to"
    )
    duration_ms: Number | None = Field(
        default=None, gt=0, le=86_400_000, description="milliseconds to the last byte; what releases are held to"
    )


class AdmissionSection(Section):
    """When requests of the model wait, and how many may."""

    enabled: bool = Field(default=True, description="false sends every request on, however full replicas are")
    in_flight: Whole = Field(
        default=0, ge=0, le=1_000_000, description="requests at one replica that make it full; 0: as its engine says"
    )
    queue_tokens: Whole = Field(
        default=2_000_000, ge=0, le=10**12, description="prompt and expected output tokens that may wait; 0: none wait"
    )
    tenant_ratio: Ratio = Field(default=0.5, description="what part of those one tenant may hold")
    max_wait_s: Seconds = Field(default=60.0, description="seconds a request may wait; then it is told 503")
    comment_interval_s: Seconds | None = Field(
        default=None,
        description="seconds after which a stream that waits begins with a comment, and then so often; left out, never",
    )


class Model(Section):
    """One public model name."""

    targets: tuple[Target, ...] = Field(
        min_length=1, max_length=256, description="a list such as [{engine: llama, model: meta-llama/Llama-3.1-8B}]"
    )
    policy: Policy = Field(default=Policy(), description="{name: prefix}")
    admission: AdmissionSection = Field(default=AdmissionSection(), description="{in_flight: 64}")
    hedging: HedgingSection = Field(default=HedgingSection(), description="{enabled: true}")
    continuation: ContinuationSection = Field(default=ContinuationSection(), description="{enabled: true}")
    ejection: EjectionSection = Field(default=EjectionSection(), description="{enabled: true}")
    unsupported: Literal["strict", "drop"] = Field(
        default="strict",
        description="a parameter that a target does not take: strict asks another target, drop leaves it out",
    )
    slow_start_s: Annotated[Number, Field(ge=0, le=86_400)] = Field(
        default=0.0, description="seconds over which a replica that is new or has returned is given a rising share"
    )
    slo: Objective = Field(default=Objective(), description="{ttft_ms: 500}")
    records: Recording = Field(default=Recording(), description="{content: true, redact: module:function}")
    params: ParamsSection = Field(default=ParamsSection(), description="{temperature: {max: 1}}")
    experiment: ExperimentSection | None = Field(
        default=None, description="{salt: s1, arms: {control: {weight: 95}, canary: {weight: 5, targets: [...]}}}"
    )
    shadow: ShadowSection | None = Field(
        default=None, description="{share: 0.05, arm: canary, cost_per_hour_usd: 1}: copies of requests, read by nobody"
    )
