"""Reloads."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

CONFIG_RELOADS = counter(
    "penstock_config_reloads_total", "Attempts to reload the configuration, by their result.", "result"
)
"""`result` is `applied` or `refused`."""

FAMILIES = (CONFIG_RELOADS,)
