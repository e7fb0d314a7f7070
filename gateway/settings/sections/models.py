"""The public models, and where each is served."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.settings.fields import Name, Number, Ratio, Seconds, Section, Text, Whole
from gateway.settings.sections.continuation import ContinuationSection
from gateway.settings.sections.ejection import EjectionSection
from gateway.settings.sections.hedging import HedgingSection
from gateway.settings.sections.recording import Recording


class Target(Section):
    """One place a model is served. `tier` defaults to the position in the list, `model` to the public name."""

    engine: Name = Field(description="a name under engines")
    model: Text = Field(description="the model's name there; left out, the public name")
    tier: Whole = Field(ge=0, le=255, description="0 is tried first; targets of one tier are one pool")
    takes: tuple[Text, ...] = Field(
        default=(),
        description="what the model takes beyond its kind of engine: [temperature, top_p] of an older Claude",
    )
    lacks: tuple[Text, ...] = Field(default=(), description="what the model cannot: [images, tools]")
    weight: Number = Field(default=1.0, gt=0, le=1_000_000, description="share within the tier, above 0; 1 is usual")


PolicyName = Literal["least_load", "prefix", "latency", "session", "cheapest", "slo", "round_robin", "random"]


class Policy(Section):
    """How a replica is picked within a tier."""

    name: PolicyName | None = Field(
        default=None,
        description="least_load (tokens in flight), prefix (least time, with what caches hold), latency (least time), "
        "session (conversations stay), cheapest, slo (prefix, and the next tier where this one would be late), "
        "round_robin or random; left out, prefix among several replicas of vLLM, else least_load",
    )
    ms_per_usd: Number | None = Field(
        default=None,
        ge=0,
        le=1e12,
        description="milliseconds that a US dollar is worth, where time and price are weighed; 0 leaves price out",
    )
    other_zone_ms: Number = Field(
        default=0.0,
        ge=0,
        le=600_000,
        description="milliseconds that a replica in another zone costs more",
    )


class Objective(Section):
    """What the model's clients are to notice."""

    ttft_ms: Number | None = Field(default=None, gt=0, le=3_600_000, description="milliseconds to the first token")


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
