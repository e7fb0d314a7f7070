"""When a replica that does worse than its peers stands aside."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engines.settings.fields import Number, Seconds, Section, Whole


class EjectionSection(Section):
    """A replica that fails more often than its peers, or is slower to begin, stands aside for a while."""

    enabled: bool = Field(default=False, description="true compares the replicas of a tier with each other")
    max_ratio: Annotated[Number, Field(gt=0, le=0.9)] = Field(
        default=0.5, description="share of a tier that may be out, above 0 up to 0.9, rounded down"
    )
    base_s: Seconds = Field(default=30.0, description="seconds that it stands aside; doubles where it is no better")
    max_s: Seconds = Field(default=600.0, description="the longest base_s grows to")
    min_requests: Whole = Field(default=20, ge=5, le=100_000, description="requests before a replica is judged, from 5")
    failure_margin: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.2, description="share of failures over that of its peers, above 0 up to 1"
    )
    ttft_ratio: Annotated[Number, Field(ge=1.5, le=1000)] = Field(
        default=4.0, description="times as long to the first token as its peers, from 1.5"
    )
