"""Copies of a model's requests, sent beside the request to another engine, for nobody to read but whoever compares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.settings.fields import Name, Number, Ratio, Seconds, Section, Text, Whole
from gateway.settings.sections.experiment import UnitName
from gateway.settings.sections.params import ParamsSection
from gateway.settings.sections.targets import Target

Copied = Literal["chat", "completions", "messages", "embeddings", "rerank", "score", "pooling", "classify"]


class ShadowSampleSection(Section):
    """Of whose requests, and of which. Each that is left out takes all."""

    keys: tuple[Name, ...] = Field(default=(), description="ids under auth.keys; left out, all")
    tenants: tuple[Name, ...] = Field(default=(), description="tenants of keys; left out, all")
    headers: dict[Text, Text] = Field(
        default_factory=dict, description="{x-region: eu}: each must be there, with this value"
    )
    operations: tuple[Copied, ...] = Field(
        default=("chat", "completions", "messages"), min_length=1, description="[chat, completions, messages, ...]"
    )
    max_prompt_tokens: Whole | None = Field(
        default=None, ge=1, le=10**9, description="requests with longer prompts are not copied; left out, all are"
    )


class ShadowSection(Section):
    """See the module."""

    share: Ratio = Field(description="what part of the units is copied, 0 to 1, such as 0.05")
    arm: Name | None = Field(default=None, description="an arm of the model's experiment, whose own targets are asked")
    targets: tuple[Target, ...] = Field(
        default=(), max_length=256, description="who is asked, in place of an arm: [{engine: b, model: ...}]"
    )
    params: ParamsSection | None = Field(
        default=None, description="{temperature: {set: 0.2}}, with targets; an arm has its own"
    )
    unit: UnitName = Field(
        default="request", description="request, user, session, key, tenant, or header:NAME: who is copied together"
    )
    salt: Text = Field(default="shadow", description="any text; another one copies other units")
    concurrency: Whole = Field(
        default=8, ge=1, le=100_000, description="copies at once, of all workers together; 8 is usual"
    )
    cost_per_hour_usd: Annotated[Number, Field(gt=0, le=1e6)] | None = Field(
        default=None, description="US dollars that copies may cost within any hour; required where a provider is asked"
    )
    timeout_s: Seconds = Field(default=120.0, description="seconds that a copy may take as a whole; 120 is usual")
    sample: ShadowSampleSection = Field(default=ShadowSampleSection(), description="{tenants: [beta]}")
    compare_texts: bool = Field(
        default=False,
        description="true has the store compare both answers' texts; kept only where records.content keeps them",
    )
