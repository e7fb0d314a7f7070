"""What an engine says of its own load, as far as it tells us something: beyond what we know, and while it is new.

Our own counts lead: they are exact and of this moment. An engine's figures are late, and most of what it computes is
ours, so the two are never added up. What it has beyond what we and the other workers have in flight is foreign:
clients that do not come through us, or another gateway. That much is added, and no more.

A report fades: it weighs less by e every `FADE_INTERVALS` of the intervals in which reports are to come, and after
`LAST_INTERVALS` it says nothing. An engine that tells nothing is so taken for one without foreign load, and not for a
bad one.
"""

from __future__ import annotations

import math
from typing import Final

FADE_INTERVALS: Final = 2.0
LAST_INTERVALS: Final = 3.0
FULL_KV: Final = 0.9
"""From there on vLLM preempts what it runs to let in more."""
PLACES_TOLD: Final = 3
"""Reports in a row in which as many run as ever did, while others wait: it has no more places."""
PLACES_LAST_S: Final = 60.0
"""For so long it may be that more run again, after the most did: it may have come back with fewer places."""
LEAST_ROOM: Final = 16
"""So many more at the least, or as many again as it has, may go to one that was full of late and lets nobody wait now,
before it tells of itself again. Where all others are full, each request would go there till then, and a whole line."""
INTERVAL_S: Final = 2.0
"""Of reports that do not say when the next one comes."""


class ReportedLoad:
    """The last report of one replica, and what of it is not ours."""

    __slots__ = (
        "_foreign_requests",
        "_foreign_s",
        "_foreign_waiting",
        "_interval_s",
        "_kv_usage",
        "_lacks_blocks",
        "_last_running",
        "_most_running",
        "_most_s",
        "_most_told",
        "_running",
        "_told_s",
        "_waiting",
        "_was_full_from",
        "full_from",
        "full_until_s",
    )

    def __init__(self) -> None:
        self._running: int | None = None
        self._waiting: int | None = None
        self._kv_usage: float | None = None
        self._told_s = float("-inf")
        self._interval_s = INTERVAL_S
        self._foreign_requests = 0.0
        self._foreign_waiting = 0.0
        self._foreign_s = float("-inf")
        self.full_from = 1
        """With so many requests of ours and the other workers' in flight it is full, until `full_until_s`."""
        self._was_full_from = 1
        """With so many it was, by the last report that said so."""
        self.full_until_s = float("-inf")
        self._most_running = 0
        self._most_told = 0
        """In how many reports in a row so many ran while others waited."""
        self._most_s = float("-inf")
        """When as many last ran."""
        self._lacks_blocks = False
        """Whether more wait than run, while its KV cache has no room."""
        self._last_running = 0
        """What ran by the last report that told it."""

    def tell(
        self,
        running: int | None,
        waiting: int | None,
        kv_usage: float | None,
        known_requests: int,
        now: float,
        interval_s: float | None = None,
    ) -> None:
        """The engine has so many requests, and `known_requests` are in flight there by all that we know.

        None is what it does not tell. One that tells only of those that wait says nothing new of the others.
        `interval_s` is when the next report is to come; None for one that comes beside those.
        """
        self._told_s = now
        if interval_s is not None:
            self._interval_s = interval_s
        self._running, self._waiting, self._kv_usage = running, waiting, kv_usage
        if running is not None:
            self._count_places(running, waiting or 0, now)
            self._last_running = running
        self._lacks_blocks = kv_usage is not None and kv_usage >= FULL_KV and (waiting or 0) > self._last_running
        if waiting or (kv_usage is not None and kv_usage >= FULL_KV):
            # Of those that wait as large a part is ours as of all; without them it was just full.
            ours = waiting or 0
            if running is not None and waiting:
                ours = round(waiting * min(1.0, known_requests / (running + waiting)))
            self.full_from = self._was_full_from = max(1, known_requests - ours)
            self.full_until_s = now + LAST_INTERVALS * self._interval_s
        elif running is not None or waiting is not None:
            self.full_from = max(self._was_full_from, known_requests + max(LEAST_ROOM, known_requests))
        if running is None:
            # Who waits may be ours, all of them: only what is more than ours for certain is foreign.
            self._foreign_waiting = float(max(0, (waiting or 0) - known_requests))
            return
        total = running + (waiting or 0)
        self._foreign_requests = float(max(0, total - known_requests))
        # Nobody says whose the waiting ones are: as large a part of them as of all is foreign.
        self._foreign_waiting = (waiting or 0) * self._foreign_requests / total if total else 0.0
        self._foreign_s = now

    @property
    def has_no_places(self) -> bool:
        """Whether those that wait there wait for others to end, as far as it told, and not for prompts: for places, or
        for so many blocks of the KV cache that more wait than run."""
        return self._most_told >= PLACES_TOLD or self._lacks_blocks

    def _count_places(self, running: int, waiting: int, now: float) -> None:
        if running > self._most_running or now - self._most_s > PLACES_LAST_S:
            self._most_running, self._most_told = running, 0
        if running == self._most_running:
            self._most_s = now
        if waiting:
            self._most_told = self._most_told + 1 if running and running == self._most_running else 0

    def weight(self, now: float) -> float:
        """How much the last report still says, 1 down to 0."""
        return self._weight(now - self._told_s)

    def _weight(self, age_s: float) -> float:
        if age_s >= LAST_INTERVALS * self._interval_s:
            return 0.0
        return math.exp(-max(0.0, age_s) / (FADE_INTERVALS * self._interval_s))

    def foreign_requests(self, now: float) -> float:
        """Requests there that neither we nor the other workers sent, those that wait included."""
        if not self._foreign_requests:
            return self.foreign_waiting(now)
        return max(self._foreign_requests * self._weight(now - self._foreign_s), self.foreign_waiting(now))

    def foreign_waiting(self, now: float) -> float:
        """Those of them that wait."""
        return self._foreign_waiting * self._weight(now - self._told_s) if self._foreign_waiting else 0.0

    def running(self, now: float) -> int | None:
        """What it computed by its last report; None where it did not say, or too long ago."""
        return self._running if self.weight(now) else None

    def waiting(self, now: float) -> int | None:
        """The same of what waited."""
        return self._waiting if self.weight(now) else None

    def kv_usage(self, now: float) -> float | None:
        """The same of what part of its KV cache was in use."""
        return self._kv_usage if self.weight(now) else None
