"""What applications tell of answers."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

FEEDBACK = counter("penstock_feedback_total", "What applications told of answers.", "metric", "result")
"""`result` is `kept`, `repeated` (it was there), `withheld` (kept without its words, which the hook of its model kept
back), `limited` (its key told too much), or why it was not kept: `unknown`, `ambiguous`, `another`, `no_contents`,
`full`, `away`."""

FAMILIES = (FEEDBACK,)
