"""What may be told of answers afterwards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engines.settings.fields import Name, Section


class MetricSection(Section):
    """One thing that applications tell of an answer."""

    type: Literal["boolean", "number"] = Field(default="boolean", description="boolean or number")
    better: Literal["lower", "higher"] = Field(default="higher", description="lower or higher: which is the better one")


class FeedbackSection(Section):
    """The metrics that `/v1/feedback` takes."""

    metrics: dict[Name, MetricSection] = Field(
        default_factory=dict, max_length=64, description="{thumbs_up: {type: boolean}, edits: {type: number}}"
    )
