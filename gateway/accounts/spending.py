"""What each key has spent since the day and the month began, in this process: what budgets are to be held to.

Days and months are UTC's. A request counts when it is settled. One key costs two additions a request; of more than
`MOST_KEYS` the rest are counted together, as `other`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from gateway.telemetry.metrics import OTHER

MOST_KEYS: Final = 1_000
DAY: Final = "day"
MONTH: Final = "month"

Key = tuple[str, str]
"""A key's id and its tenant; both are empty where there are no keys."""


class Spent:
    """Of one key, in US dollars."""

    __slots__ = ("day_usd", "month_usd")

    def __init__(self) -> None:
        self.day_usd = 0.0
        self.month_usd = 0.0


class Spending:
    """Adds up. `now_s` is Unix time, and may step."""

    __slots__ = ("_by_key", "_day", "_ends_s", "_month")

    def __init__(self) -> None:
        self._by_key: dict[Key, Spent] = {}
        self._ends_s = 0.0
        """When the day is over."""
        self._day = self._month = ""

    def add(self, key_id: str, tenant: str, day_usd: float, month_usd: float, now_s: float) -> None:
        """A key has spent so much: of a request both are its cost."""
        if not self._ends_s - 86_400.0 <= now_s < self._ends_s:
            self._turn(now_s)
        by_key = self._by_key
        spent = by_key.get((key_id, tenant))
        if spent is None:
            key = (key_id, tenant) if len(by_key) < MOST_KEYS else (OTHER, OTHER)
            spent = by_key.setdefault(key, Spent())
        spent.day_usd += day_usd
        spent.month_usd += month_usd

    def reading(self, now_s: float) -> Iterator[tuple[tuple[str, ...], float]]:
        """By key, tenant and period, in US dollars; to be read one by one, for there may be 10,000 keys."""
        if not self._ends_s - 86_400.0 <= now_s < self._ends_s:
            self._turn(now_s)
        for key, spent in list(self._by_key.items()):
            yield (*key, DAY), spent.day_usd
            yield (*key, MONTH), spent.month_usd

    def _turn(self, now_s: float) -> None:
        """Another day, perhaps of another month: nothing is spent of it."""
        self._ends_s = (now_s // 86_400.0 + 1.0) * 86_400.0
        day = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%d")
        if not day.startswith(self._month or "-"):
            self._by_key = {}
        elif day != self._day:
            for spent in self._by_key.values():
                spent.day_usd = 0.0
        self._day, self._month = day, day[:7]
