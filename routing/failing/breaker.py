"""A circuit breaker for one replica: stop asking a replica that fails, and find out gently when it is back.

    state      event                                             next       what happens
    ---------  ------------------------------------------------  ---------  -------------------------------------
    closed     success                                           closed     counted in the window
    closed     ignored                                           closed     nothing
    closed     failure, window below either limit                closed     counted in the window
    closed     failure, failures >= min_failures and             open       until now + open time; trips + 1
               failures / (failures + successes) >= ratio
    open       before `open_until`                               open       `allows` is False
    open       admit at or after `open_until`                    half-open  the admitted request is the first probe
    half-open  admit while probes in flight < max_probes         half-open  one more probe
    half-open  success of a probe                                closed     window and trips cleared
    half-open  failure of a probe                                open       a longer open time; trips + 1
    half-open  ignored outcome of a probe                        half-open  the probe's place is free again

Every `admit` returns a ticket: the number of the period (between two changes of state) it was given in. An outcome
whose period is over is dropped, whatever it is: a request sent before the breaker opened says nothing about the
replica now, and must not give back a probe's place that it never took. So half-open never lets a flood through, and
a burst of old failures never re-opens a breaker that has just closed.

The window is a ring of buckets: a fixed, small memory and no per-request timestamps. It covers between
`window_s - window_s / buckets` and `window_s` seconds. Both limits must hold to open: the count, so that one failure of
two requests at night changes nothing; the ratio, so that five failures among a thousand do not eject a busy replica.

Which outcomes are failures is decided in `routing.failing.outcome`; overload and departed clients are `IGNORED` there.
`now` must not run backwards; an earlier `now` is counted in the current bucket.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What one finished request says about its replica."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"


Told = Callable[[bool, str, float], None]
"""(whether it is closed now, why, the open time in seconds)"""

_SUCCESS, _FAILURE = Verdict.SUCCESS, Verdict.FAILURE


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a breaker opens and for how long. The defaults are those of vllm-router (5 failures), with a ratio."""

    window_s: float = 30.0
    buckets: int = 10
    min_failures: int = 5
    failure_ratio: float = 0.5
    open_s: float = 5.0
    """The first open time; it doubles with each failed round of probes."""
    max_open_s: float = 60.0
    jitter_ratio: float = 0.2
    """Up to this share is added to each open time, so that many workers do not probe in step."""
    max_probes: int = 1
    """Probes in flight at once while half-open."""

    def __post_init__(self) -> None:
        if not (self.window_s > 0 and self.buckets >= 1 and self.min_failures >= 1 and self.max_probes >= 1):
            raise ValueError("window_s, buckets, min_failures and max_probes must be positive")
        if not (0 < self.failure_ratio <= 1 and 0 <= self.jitter_ratio <= 1 and 0 < self.open_s <= self.max_open_s):
            raise ValueError("failure_ratio must be in (0, 1], jitter_ratio in [0, 1], open_s in (0, max_open_s]")


class Breaker:
    """See the table above. `closed` is a plain attribute because every choice reads it."""

    __slots__ = (
        "_bad",
        "_bucket",
        "_bucket_end_s",
        "_bucket_s",
        "_good",
        "_period",
        "_probes",
        "_settings",
        "_slot",
        "_told",
        "_trips",
        "closed",
        "closed_s",
        "open_until",
    )

    def __init__(self, settings: BreakerSettings, told: Told | None = None) -> None:
        """`told` hears of each change of state, for the log."""
        self._settings = settings
        self._told = told
        self._bucket_s = settings.window_s / settings.buckets
        self._good = [0] * settings.buckets
        self._bad = [0] * settings.buckets
        self._slot = 0
        self._bucket = 0
        self._bucket_end_s = float("-inf")  # the first outcome finds its bucket
        self._period = 0
        self._probes = 0
        self._trips = 0
        self.closed = True
        self.closed_s = float("-inf")
        """When it last closed."""
        self.open_until = 0.0
        """When probes may begin, on the caller's clock; 0.0 while closed."""

    def hush(self) -> None:
        """Tell nobody of changes any more: another server has the name under which they would be told."""
        self._told = None

    def allows(self, now: float) -> bool:
        """Whether a request may be sent at `now`. Changes nothing."""
        if self.closed:
            return True
        return now >= self.open_until and self._probes < self._settings.max_probes

    def admit(self, now: float) -> int:
        """Count a request that is being sent, and return the ticket for its `record`.

        Call it only after `allows` said yes at the same `now`.
        """
        if not self.closed:
            assert self.allows(now), "admit without allows"
            self._probes += 1
        return self._period

    def record(
        self, ticket: int, verdict: Verdict, now: float, rng: random.Random, why: str = "", *, again: bool = False
    ) -> None:
        """Tell how an admitted request went; `why` is the label of its outcome.

        A success may be told when the answer begins to be used, so that a probe does not hold its place for all of it;
        if the answer breaks later, a failure is told with the same ticket. `again` says that there was such a success:
        a request counts once.
        """
        if ticket != self._period or (again and verdict is not _FAILURE):
            return
        if verdict is _SUCCESS and self.closed:
            if now >= self._bucket_end_s:
                self._turn(now)
            self._good[self._slot] += 1
        elif self.closed:
            if verdict is _FAILURE:
                if again:
                    self._take_back()
                self._failed_while_closed(now, rng, why)
        elif verdict is _SUCCESS:
            self._close(now)
        elif verdict is _FAILURE:
            self._open(now, rng, why)
        else:
            self._probes -= 1

    def counted(self, now: float) -> tuple[int, int]:
        """Successes and failures in the window."""
        if now >= self._bucket_end_s:
            self._turn(now)
        return sum(self._good), sum(self._bad)

    def forget(self) -> None:
        """Empty the window; the state stays."""
        self._good = [0] * self._settings.buckets
        self._bad = [0] * self._settings.buckets

    def retune(self, settings: BreakerSettings, now: float) -> None:
        """Go by other settings from `now` on. What was counted, the state and the probes in flight stay.

        A window of another length takes the counts over as if they were of now. An open breaker does not stay open for
        longer than the new settings ever would keep it.
        """
        old, self._settings = self._settings, settings
        if (settings.window_s, settings.buckets) != (old.window_s, old.buckets):
            if now >= self._bucket_end_s:
                self._turn(now)
            good, bad = sum(self._good), sum(self._bad)
            self._good, self._bad = [0] * settings.buckets, [0] * settings.buckets
            self._good[0], self._bad[0] = good, bad
            self._slot = 0
            self._bucket_s = settings.window_s / settings.buckets
            self._bucket = int(now // self._bucket_s)
            self._bucket_end_s = (self._bucket + 1) * self._bucket_s
        if not self.closed:
            self.open_until = min(self.open_until, now + settings.max_open_s * (1.0 + settings.jitter_ratio))

    def _take_back(self) -> None:
        """One success was none: one of the newest that are still counted."""
        buckets = len(self._good)
        for age in range(buckets):
            slot = (self._slot - age) % buckets
            if self._good[slot]:
                self._good[slot] -= 1
                return

    def _failed_while_closed(self, now: float, rng: random.Random, why: str) -> None:
        if now >= self._bucket_end_s:
            self._turn(now)
        self._bad[self._slot] += 1
        failures = sum(self._bad)
        total = failures + sum(self._good)
        if failures >= self._settings.min_failures and failures >= self._settings.failure_ratio * total:
            self._open(now, rng, f"{failures} of {total} failed, the last by {why}" if why else "")

    def _open(self, now: float, rng: random.Random, why: str) -> None:
        settings = self._settings
        # The exponent is bounded so that a replica dead for a week does not overflow a float.
        open_s = min(settings.max_open_s, settings.open_s * 2.0 ** min(self._trips, 32))
        self.open_until = now + open_s * (1.0 + settings.jitter_ratio * rng.random())
        self._trips += 1
        self._period += 1
        self._probes = 0
        self.closed = False
        if self._told is not None:
            self._told(False, why, self.open_until - now)

    def _close(self, now: float) -> None:
        self.closed_s = now
        self.forget()
        self._trips = 0
        self._period += 1
        self._probes = 0
        self.closed = True
        self.open_until = 0.0
        if self._told is not None:
            self._told(True, "a probe was answered", 0.0)

    def _turn(self, now: float) -> None:
        """Move to the bucket of `now`, emptying those passed on the way."""
        bucket = int(now // self._bucket_s)
        buckets = len(self._good)
        for _ in range(min(buckets, bucket - self._bucket)):
            self._slot = (self._slot + 1) % buckets
            self._good[self._slot] = 0
            self._bad[self._slot] = 0
        self._bucket = bucket
        self._bucket_end_s = (bucket + 1) * self._bucket_s
