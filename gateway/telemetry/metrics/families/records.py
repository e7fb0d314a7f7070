"""Records and log lines: what their sinks could not take, and how the store is."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter, gauge, most

RECORDS_DROPPED = counter(
    "penstock_records_dropped_total",
    "Records and log lines that a sink could not take in time or could not write.",
    "sink",
)
"""`sink` is `access_log`, `process_log`, `spans`, `evaluations`, `link` or `store`."""

RECORDS_STORED = counter("penstock_records_stored_total", "Records that the store has taken.")
RECORDS_LOST = counter(
    "penstock_records_lost_total", "Records of killed workers that were settled and that the store does not have."
)
RECORDS_SPILLED = gauge(
    "penstock_records_spilled_bytes", "Records that wait in files until the store takes them.", combine=most
)
STORE_AWAY = gauge("penstock_store_away", "1 while the store cannot be reached.", combine=most)

FAMILIES = (RECORDS_DROPPED, RECORDS_STORED, RECORDS_LOST, RECORDS_SPILLED, STORE_AWAY)
