"""Attempts before the first byte."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engines.settings.fields import Number, Ratio, Seconds, Section, Whole


class Retry(Section):
    """Attempts before the first byte, and the budget they draw on. Figures are of the whole gateway, not a worker."""

    max_attempts: Whole = Field(default=3, ge=1, le=10, description="calls per tier, the first included, 1 to 10")
    base_backoff_s: Seconds = Field(default=0.025, description="seconds of the first back-off; it doubles each time")
    max_backoff_s: Seconds = Field(default=2.0, description="seconds of the longest back-off")
    max_retry_after_s: Seconds = Field(default=0.1, description="a longer Retry-After goes to the client at once")
    after_send: bool = Field(
        default=False,
        description="true repeats a request whose connection was lost after it was sent; it may be billed twice",
    )
    budget_ratio: Ratio = Field(default=0.2, description="retries allowed per request of a model, 0 to 1")
    budget_floor_per_s: Annotated[Number, Field(ge=0, le=100_000)] = Field(
        default=10.0, description="retries per second of a model that are always allowed"
    )
    budget_cap: Annotated[Number, Field(ge=1, le=1_000_000)] = Field(
        default=100.0, description="retries that may be saved up, at least 1"
    )
