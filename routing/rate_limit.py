"""How often each of many may do something: so often in a minute, all at once if need be (GCRA, ITU-T I.371).

Of each only the moment is kept at which it has paid for all it did; who has is forgotten.
"""

from __future__ import annotations

from typing import Final

MINUTE_S: Final = 60.0
MOST_REMEMBERED: Final = 10_000
"""Names; beyond that those are dropped that may do all again."""


class RateLimit:
    """By name."""

    def __init__(self, most_remembered: int = MOST_REMEMBERED) -> None:
        self._most: Final = most_remembered
        self._paid_s: dict[str, float] = {}

    @property
    def remembered(self) -> int:
        """Names."""
        return len(self._paid_s)

    def wait_s(self, name: str, now_s: float, per_minute: int) -> float:
        """0 where it may, which counts; else in how many seconds it may."""
        interval_s = MINUTE_S / per_minute
        paid_s = max(now_s, self._paid_s.get(name, now_s)) + interval_s
        over_s = paid_s - now_s - MINUTE_S
        if over_s > 1e-9:  # a minute of sixtieths is not quite a minute
            return over_s
        self._paid_s[name] = paid_s
        if len(self._paid_s) > self._most:
            self._paid_s = {one: at_s for one, at_s in self._paid_s.items() if at_s > now_s}
        return 0.0
