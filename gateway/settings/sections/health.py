"""What engines are asked unasked: whether they are well, and how much they have to do."""

from __future__ import annotations

from pydantic import Field

from engines.settings.fields import Seconds, Section, Whole


class Health(Section):
    """Free probes of engines that have one (vLLM's /health and /metrics)."""

    interval_s: Seconds = Field(default=5.0, description="seconds between probes")
    timeout_s: Seconds = Field(default=2.0, description="seconds a probe may take, less than interval_s")
    load_interval_s: Seconds = Field(
        default=2.0, description="seconds between looks at the load of engines that tell it (vLLM's /metrics)"
    )
    unhealthy_after: Whole = Field(default=2, ge=1, le=100, description="failures in a row")
    healthy_after: Whole = Field(default=1, ge=1, le=100, description="successes in a row")
