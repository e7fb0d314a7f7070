"""What workers tell each other of the prompts that they send."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

PREFIX_NEWS_DROPPED = counter(
    "penstock_prefix_news_dropped_total",
    "Messages and prompts that some worker was not told of, because a link or a worker had no room for more.",
)

FAMILIES = (PREFIX_NEWS_DROPPED,)
