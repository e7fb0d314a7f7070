"""When a replica is left alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engines.settings.fields import Number, Seconds, Section, Whole


class BreakerSection(Section):
    """When a replica is left alone for a while. 429 and overload never count."""

    window_s: Seconds = Field(default=30.0, description="seconds that outcomes count for")
    min_failures: Whole = Field(default=5, ge=1, le=100_000, description="failures in the window before it may open")
    failure_ratio: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.5, description="share of failures, above 0 up to 1"
    )
    open_s: Seconds = Field(
        default=5.0, description="seconds until probes are let through; doubles with each failed one"
    )
    max_open_s: Seconds = Field(default=60.0, description="the longest open_s grows to")
    half_open_probes: Whole = Field(default=1, ge=1, le=100, description="probes at once while half open")
