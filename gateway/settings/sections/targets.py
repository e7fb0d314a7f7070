"""Where a model, or one arm of its experiment, is served, and how a replica is picked there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engines.settings.fields import Name, Number, Section, Text, Whole


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


PolicyName = Literal[
    "least_load", "prefix", "latency", "session", "cheapest", "slo", "weighted", "round_robin", "random"
]


class Policy(Section):
    """How a replica is picked within a tier."""

    name: PolicyName | None = Field(
        default=None,
        description="least_load (tokens in flight), prefix (least time, with what caches hold), latency (least time), "
        "session (conversations stay), cheapest, slo (prefix, and the next tier where this one would be late), "
        "weighted, round_robin or random; left out, prefix among several replicas of vLLM, else least_load",
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
