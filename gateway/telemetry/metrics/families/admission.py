"""Requests that wait, or may not."""

from __future__ import annotations

from gateway.telemetry.metrics.family import add, counter, gauge

SHED = counter("penstock_shed_total", "Requests refused by admission control.", "model", "reason")
QUEUE_TOKENS = gauge(
    "penstock_queue_tokens", "Tokens of requests that wait for admission.", "model", combine=add
)  # each worker has its own queue

FAMILIES = (SHED, QUEUE_TOKENS)
