"""Prompts that are kept although something has left."""

from __future__ import annotations

from gateway.telemetry.metrics.family import add, gauge

PROMPTS_HELD = gauge(
    "penstock_prompts_held_bytes",
    "Prompts of streams that have sent nothing but comments, kept so that another engine can still answer.",
    combine=add,
)

FAMILIES = (PROMPTS_HELD,)
