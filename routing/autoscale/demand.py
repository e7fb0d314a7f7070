"""How many replicas a moment asks for, whatever number there is: the most of what each signal asks for.

load      what arrives, what it will have grown to when a new replica serves, and the staffing that keeps the SLO
backlog   what will have piled up by then, worked off within a quarter of a start-up
seats     requests at once, where a replica takes only so many
KV cache  no fuller than it may be
SLO       first tokens that are late all the same: the figures above are wrong, and one more is asked for
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from routing.autoscale import staffing
from routing.autoscale.arrivals import CHANCE, Arrivals
from routing.autoscale.decision import Why
from routing.autoscale.rises import Rises
from routing.autoscale.settings import AutoscaleSettings
from routing.autoscale.signals import Signals

_WINDOWS: Final = (1, 3, 5)
"""Times `panic_window_s`: how long a rise may be seen and still count at once, as far as chance does not explain it."""
LEAST_SLACK: Final = 0.25
"""Of the SLO, that is taken to be left for waiting however long prompts are."""
MOST_CATCHING_UP: Final = 1.0
"""Times the replicas that the load needs: what may be added to work a backlog off."""
DRAIN_STARTS: Final = 0.25
"""Times the start-up (`LEAST_DRAIN_S` at least): in so long a backlog is to be gone once those who come for it serve.
Whoever is started for it costs three start-ups at least, however soon it is gone, and everybody is late until then: at
0.5 a square wave with starts of 300 s attained .855 in place of .875, for 0.96 of the replica-hours; at 0.125, .878 for
1.06 of them, and a step asked for 17 replicas where 7 were needed."""
LATE_WINDOWS: Final = 2.0
"""Times `panic_window_s`, that the SLO is to be missed for without a pause."""
LEAST_DRAIN_S: Final = 15.0
BEARABLY_LATE: Final = 0.1
SAMPLED_S: Final = 30.0
"""What a sample of the load is a mean over."""
NAMED_RISE: Final = 1.1
"""Times what would be enough otherwise: where the room for bursts asks for more, the sentence says so."""
_USUAL_REQUESTS: Final = 200.0
"""So many requests make the mean length of a prompt."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one moment asks for."""

    replicas: int
    why: Why
    sentence: str
    load: float = 0.0
    """In replicas that are always busy."""
    bearable: int = 0
    """So many would serve that load too, if not as well."""


class Asking(Protocol):
    """What an autoscaler wants to know of one engine's traffic. Signals come in the order of time."""

    def note(self, signals: Signals, now: float) -> None:
        """One look."""

    def ask(self, signals: Signals, startup_s: float) -> Ask:
        """What the look that was noted last asks for, where a replica takes `startup_s` to serve."""

    def floods(self, signals: Signals, replicas: int) -> bool:
        """Whether so many are so far from enough that a panic is due."""

    def survivors(self, signals: Signals) -> int:
        """The fewest that may stay."""


class Demand:
    """What is remembered of one engine's traffic. Signals come in the order of time."""

    __slots__ = ("_arrivals", "_late_s", "_now_s", "_rises", "_size", "settings")

    def __init__(self, settings: AutoscaleSettings) -> None:
        self.settings = settings
        self._arrivals = Arrivals()
        self._rises = Rises()
        self._size = 0.0
        """Tokens of a request, in the mean."""
        self._now_s = 0.0
        self._late_s = math.inf
        """Since when every look has found the SLO missed."""

    def note(self, signals: Signals, now: float) -> None:
        """One look."""
        self._now_s = now
        told = signals.ttft_ms
        if told is None or told <= self.settings.ttft_ms:
            self._late_s = math.inf
        elif self._late_s == math.inf:
            self._late_s = now
        self._arrivals.add(signals.arrived_tokens, signals.arrived_requests, now)
        if self._arrivals.span_s >= SAMPLED_S and self._rises.due(now):
            self._rises.add(self._arrivals.rate(SAMPLED_S), now)
        if signals.arrived_requests > 0.0:
            size = signals.arrived_tokens / signals.arrived_requests
            weight = min(1.0, signals.arrived_requests / _USUAL_REQUESTS)
            self._size = size if self._size == 0.0 else self._size + weight * (size - self._size)

    def ask(self, signals: Signals, startup_s: float) -> Ask:
        """What the look that was noted last asks for, where a replica takes `startup_s` to serve."""
        waits = signals.backlog_requests > 0.0 or signals.in_flight > 0.0 or signals.arrived_requests > 0.0
        ask = self._for_load(signals, startup_s)
        for other in (
            self._for_seats(signals, ask),
            self._for_cache(signals),
            self._for_backlog(signals, ask, startup_s),
        ):
            if other is not None and other.replicas > ask.replicas:
                ask = other
        late = self._for_slo(signals, ask)
        if late is not None:
            return late
        if ask.replicas == 0 and waits:
            return Ask(1, Why.WOKEN, "requests still come" if signals.ready else "a request waits", ask.load)
        return ask

    def floods(self, signals: Signals, replicas: int) -> bool:
        """Whether the last seconds alone ask for `panic_ratio` times so many, chance apart."""
        settings, speed = self.settings, signals.speed.prefill_tokens_per_s
        surely = self._arrivals.surely(settings.panic_window_s, self._arrivals.dispersion(settings.trend_window_s))
        return replicas > 0 and speed > 0.0 and surely / speed >= settings.panic_ratio * replicas

    def survivors(self, signals: Signals) -> int:
        """The fewest that keep the SLO at the most that may come, and are not behind."""
        settings, speed = self.settings, signals.speed.prefill_tokens_per_s
        if speed <= 0.0:
            return 0
        dispersion = self._arrivals.dispersion(settings.trend_window_s)
        load = self._arrivals.at_most(2.0 * settings.load_window_s, dispersion) / speed
        service_s, slack_s = self._times(signals)
        staffed = staffing.staffed(load, service_s, slack_s, dispersion, 1.0 - settings.attainment)
        behind = math.ceil(signals.backlog_tokens / speed / slack_s)
        seated = staffing.seated(self._running(signals), settings.seats)
        kv = signals.kv_usage_ratio or 0.0
        return max(staffed, behind, seated, math.ceil(signals.ready * kv / settings.kv_usage_ratio - 1e-9))

    # -- one signal each -----------------------------------------------------------------------------------------------

    def _for_load(self, signals: Signals, startup_s: float) -> Ask:
        settings, speed, arrivals = self.settings, signals.speed.prefill_tokens_per_s, self._arrivals
        if speed <= 0.0:
            return Ask(0, Why.LOAD, "nobody knows how fast a replica is")
        dispersion = arrivals.dispersion(settings.trend_window_s)
        rate = arrivals.rate(settings.load_window_s)
        for times in _WINDOWS:
            rate = max(rate, arrivals.surely(times * settings.panic_window_s, dispersion))
        growth = arrivals.growth_per_s(settings.trend_window_s, dispersion)
        reserve = self._rises.reserve(startup_s + SAMPLED_S / 2.0, settings.late_ratio)
        chance = CHANCE * arrivals.noise(SAMPLED_S, dispersion) * math.sqrt(2.0)
        reserve = math.sqrt(max(0.0, reserve * reserve - chance * chance))
        foreseen, reserved = (
            rate + growth * (startup_s + settings.panic_window_s),
            min(rate + reserve, self._rises.peak),
        )
        coming = max(foreseen, reserved) / speed
        service_s, slack_s = self._times(signals)
        needed = staffing.staffed(coming, service_s, slack_s, dispersion, 1.0 - settings.attainment)
        bearable = staffing.staffed(coming, service_s, slack_s, dispersion, BEARABLY_LATE)
        grows = f", {growth * 60:.0f} more each minute," if growth > 0.0 else ""
        if reserved > foreseen * NAMED_RISE:
            grows = f", and have risen by {reserved - rate:.0f} within a start-up of late,"
        sentence = (
            f"{rate:.0f} prompt tokens/s arrive{grows} where a replica computes {speed:.0f}/s, so {needed} will keep "
            f"{settings.attainment:.0%} within {settings.ttft_ms:.0f} ms"
        )
        return Ask(needed, Why.LOAD, sentence if needed else "nothing arrives", rate / speed, bearable)

    def _for_seats(self, signals: Signals, ask: Ask) -> Ask | None:
        seats = self.settings.seats
        if not seats:
            return None
        running = self._running(signals)
        sentence = f"{running:.0f} requests run at once where a replica takes {seats}"
        return Ask(staffing.seated(running, seats), Why.SEATS, sentence, ask.load)

    def _for_cache(self, signals: Signals) -> Ask | None:
        kv, most = signals.kv_usage_ratio, self.settings.kv_usage_ratio
        if kv is None or kv <= most:
            return None
        sentence = f"KV caches are {kv:.0%} full, and {most:.0%} is as full as they may be"
        return Ask(math.ceil(signals.ready * kv / most), Why.KV_CACHE, sentence)

    def _for_backlog(self, signals: Signals, ask: Ask, startup_s: float) -> Ask | None:
        speed = signals.speed.prefill_tokens_per_s
        if speed <= 0.0:
            return None
        slack_s = self._times(signals)[1]
        starting = signals.starting_s
        horizon_s = max(startup_s, max(starting, default=0.0))
        later_s = staffing.backlog_later(signals.backlog_tokens / speed, ask.load, signals.ready, starting, horizon_s)
        if later_s <= slack_s * max(1, signals.ready + len(starting)):
            return None
        drain_s = max(LEAST_DRAIN_S, DRAIN_STARTS * startup_s)
        extra = min(later_s / drain_s, MOST_CATCHING_UP * max(1.0, float(ask.replicas)))
        sentence = (
            f"{signals.backlog_tokens:.0f} prompt tokens wait and {ask.load * speed:.0f}/s arrive: {later_s:.0f} s of "
            "one replica's work will have piled up when new ones serve"
        )
        return Ask(math.ceil(ask.load + extra), Why.BACKLOG, sentence, ask.load)

    def _for_slo(self, signals: Signals, ask: Ask) -> Ask | None:
        """Nobody is on the way, and what there is should do, but has not for a while: a queue of a moment is chance."""
        told, slo_ms, ready = signals.ttft_ms, self.settings.ttft_ms, signals.ready
        long_enough = self._now_s - self._late_s >= LATE_WINDOWS * self.settings.panic_window_s
        if told is None or not long_enough or not ready or signals.starting_s or ask.replicas > ready:
            return None
        sentence = f"a first token takes {told:.0f} ms and should take {slo_ms:.0f}"
        return Ask(ready + max(1, ready // 10), Why.SLO, sentence, ask.load)

    # -- what they rest on ---------------------------------------------------------------------------------------------

    def _times(self, signals: Signals) -> tuple[float, float]:
        """What a prompt takes to compute, and how long one that is longer than most may wait before that."""
        slo_s = self.settings.ttft_ms / 1000.0
        service_s = staffing.own_s(self._size, signals.speed)
        uneven = math.sqrt(max(0.0, self._arrivals.dispersion(self.settings.trend_window_s) - 1.0))
        long_s = service_s * (1.0 + min(2.0, uneven))
        return service_s, max(LEAST_SLACK * slo_s, slo_s - long_s - signals.speed.base_s)

    def _running(self, signals: Signals) -> float:
        """Requests at once where nothing waits: by Little's law where it is known how long one takes."""
        if signals.speed.service_s > 0.0 and self._size > 0.0:
            return self._arrivals.rate(self.settings.load_window_s) / self._size * signals.speed.service_s
        return signals.in_flight
