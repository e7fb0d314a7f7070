"""Streams whose engine died, and went on elsewhere or not."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

CONTINUATIONS = counter(
    "penstock_continuations_total",
    "Streams whose engine died, sent on to another: it answered (continued), or none did (failed).",
    "model",
    "result",
)
NOT_CONTINUED = counter(
    "penstock_streams_not_continued_total",
    "Streams whose engine died and that were not continued although the model asks for it, by the reason.",
    "model",
    "reason",
)

FAMILIES = (CONTINUATIONS, NOT_CONTINUED)
