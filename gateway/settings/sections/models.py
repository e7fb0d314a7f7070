"""The public models, and where each is served."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engines.settings.fields import Name, Number, Section, Text, Whole


class Target(Section):
    """One place a model is served. `tier` defaults to the position in the list, `model` to the public name."""

    engine: Name = Field(description="a name under engines")
    model: Text = Field(description="the model's name there; left out, the public name")
    tier: Whole = Field(ge=0, le=255, description="0 is tried first; targets of one tier are one pool")
    weight: Number = Field(default=1.0, gt=0, le=1_000_000, description="share within the tier, above 0; 1 is usual")


class Policy(Section):
    """How a replica is picked within a tier."""

    name: Literal["least_load", "prefix", "latency", "round_robin", "random"] = Field(
        default="least_load",
        description="prefix (cached prompts and load in one cost), latency (the same without caches), least_load "
        "(power of two choices on tokens in flight), round_robin or random",
    )


class Model(Section):
    """One public model name."""

    targets: tuple[Target, ...] = Field(
        min_length=1, max_length=256, description="a list such as [{engine: llama, model: meta-llama/Llama-3.1-8B}]"
    )
    policy: Policy = Field(default=Policy(), description="{name: least_load}")
