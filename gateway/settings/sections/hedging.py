"""When a late stream is asked for a second time."""

from __future__ import annotations

from pydantic import Field

from engines.settings.fields import Number, Section


class HedgingSection(Section):
    """A second attempt on another replica of the tier, where a stream's first byte is late. The first answer wins."""

    enabled: bool = Field(default=False, description="true sends a second attempt where the first byte is late")
    after_ms: Number | None = Field(
        default=None,
        gt=0,
        le=600_000,
        description="milliseconds to the first byte from which a stream is late; left out, the p95 of its size",
    )
