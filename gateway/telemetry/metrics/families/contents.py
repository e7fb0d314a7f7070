"""Prompts and answers that are kept, of models that keep them."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

CONTENTS_STORED = counter("penstock_contents_stored_total", "Prompts and answers that the store has taken.")
CONTENTS_DROPPED = counter(
    "penstock_contents_dropped_total", "Prompts and answers that were to be kept and are not.", "reason"
)
"""`reason` is `memory` (too much is held), `away` (the writer took it in no time), `unreadable` (no text), `redaction`
(its hook failed), `withheld` (its hook said so) or `disk` (the store is away, and its file cannot be written)."""

FAMILIES = (CONTENTS_STORED, CONTENTS_DROPPED)
