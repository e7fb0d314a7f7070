"""Prompts that are kept although something has left."""

from __future__ import annotations

from gateway.telemetry.metrics.family import add, gauge

PROMPTS_HELD = gauge(
    "penstock_prompts_held_bytes",
    "Prompts of streams that another engine may still have to answer, or to continue, with what was said of them.",
    combine=add,
)

FAMILIES = (PROMPTS_HELD,)
