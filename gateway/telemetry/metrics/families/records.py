"""What the sinks of records and log lines could not take."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

RECORDS_DROPPED = counter(
    "penstock_records_dropped_total",
    "Records and log lines that a sink could not take in time or could not write.",
    "sink",
)
"""`sink` is `access_log`, `process_log`, `spans` or `link`."""

FAMILIES = (RECORDS_DROPPED,)
