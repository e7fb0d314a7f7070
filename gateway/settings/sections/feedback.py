"""What may be told of answers afterwards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engines.settings.fields import KIB, ByteSize, Name, Section, Whole


class MetricSection(Section):
    """One thing that applications tell of an answer."""

    type: Literal["boolean", "number"] = Field(default="boolean", description="boolean or number")
    better: Literal["lower", "higher"] = Field(default="higher", description="lower or higher: which is the better one")


class FeedbackSection(Section):
    """The metrics that `/v1/feedback` takes."""

    metrics: dict[Name, MetricSection] = Field(
        default_factory=dict, max_length=64, description="{thumbs_up: {type: boolean}, edits: {type: number}}"
    )
    per_minute: Whole = Field(default=600, ge=1, le=10**6, description="how often each key may tell; 600 is usual")
    per_record: Whole = Field(default=100, ge=1, le=10**4, description="how often of one answer; 100 is usual")
    comment_bytes: ByteSize = Field(default=4 * KIB, ge=1, le=128 * KIB, description="of a comment, at most; 4 KiB")
    demonstration_bytes: ByteSize = Field(
        default=64 * KIB, ge=1, le=128 * KIB, description="of a demonstration, at most; 64 KiB is usual"
    )
