"""What keys have spent of late, for a gateway that starts: the sums by day that the writer keeps, not a scan."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.store.database.opening import engine_of
from gateway.store.messages import KeySpent
from gateway.store.reports.sums import WantedSums, report


def spent(url: str, now_s: float) -> list[KeySpent]:
    """By key and tenant, in the day and the month (UTC) of this Unix time. Blocks; raises as the database does."""
    now = datetime.fromtimestamp(now_s, UTC)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            wanted = WantedSums(("key", "tenant", "day"), since_ms=int(month.timestamp() * 1000))
            sums = report(connection, wanted)
    finally:
        engine.dispose()
    today = now.strftime("%Y-%m-%d")
    by_key: dict[tuple[str, str], list[float]] = {}
    for row in sums:
        both = by_key.setdefault((row["key"], row["tenant"]), [0.0, 0.0])
        usd = row["cost_usd"] or 0.0
        both[0] += usd if row["day"] == today else 0.0
        both[1] += usd
    return [KeySpent(key_id, tenant, *both) for (key_id, tenant), both in by_key.items()]
