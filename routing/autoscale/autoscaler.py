"""The autoscaler of one engine: looked at every few seconds, it says how many replicas there should be.

    upwards    at once to what is asked for (`demand`); those on their way count, so none is asked for twice
    downwards  only once so few were enough for `down_after_s`, and only as far as those that stay keep the SLO with as
               much more traffic as chance may have hidden
    to zero    once nothing has come for `zero_after_s`, counted from when the last replica was ready: one that loads
               for longer than that is not sent away before it has served, unless its starts only fail
    asleep     what goes may sleep: it is back within a wake-up, so that only what is asked for beyond those that sleep
               has to be asked for a start-up ahead
    in panic   (a few seconds ask for twice what there is) nothing goes down

Laws, each a property test: always within bounds; more backlog never asks for fewer; a change smaller than the dead band
is not made while those that there are bear the load; nothing goes down before `down_after_s`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Final

from routing.autoscale.decision import ScaleDecision, Why
from routing.autoscale.demand import Ask, Asking, Demand
from routing.autoscale.settings import AutoscaleSettings
from routing.autoscale.signals import Bounds, Signals

LEAST_HOLD_S: Final = 60.0
MOST_HOLD_S: Final = 600.0
HOLD_STARTS: Final = 2.0
"""Times the start-up, that fewer must have been enough for. To start one again costs what keeping it costs for one."""
FELL_STARTS: Final = 2.0
"""Times the start-up after replicas have gone, that no others are started for a load that those that stay bear: what
asks for them so soon is mostly chance, and each would go again."""
STARTUP_WEIGHT: Final = 0.3
"""Of the start that was measured last."""


class Autoscaler:
    """The state between looks. Owned by one thread; `now` (seconds) never runs backwards."""

    __slots__ = (
        "_asked",
        "_busy_s",
        "_demand",
        "_fell_s",
        "_measured",
        "_panic_until_s",
        "_served_s",
        "_startup_s",
        "_up_s",
        "_wake_measured",
        "_wake_s",
        "settings",
    )

    def __init__(self, settings: AutoscaleSettings, now: float, demand: Asking | None = None) -> None:
        self.settings = settings
        self._demand: Asking = Demand(settings) if demand is None else demand
        self._asked: deque[tuple[float, int]] = deque()
        """What earlier looks asked for: those that asked for more than all after them."""
        self._panic_until_s = -math.inf
        self._busy_s = now
        """When there was last anything to do."""
        self._served_s = now
        """Since when replicas have been ready without a gap."""
        self._up_s = now
        """When there last came to be more."""
        self._fell_s = -math.inf
        """When replicas were first taken away since there last came to be more, and some were left."""
        self._startup_s = settings.startup_s
        self._measured = False
        self._wake_s = settings.wake_s or 0.0
        self._wake_measured = False

    @property
    def startup_s(self) -> float:
        """What a start is taken to take."""
        return self._startup_s

    @property
    def down_after_s(self) -> float:
        """For how long fewer must have been enough."""
        chosen = self.settings.down_after_s
        if chosen is not None:
            return chosen
        back_s = self._startup_s if self.settings.wake_s is None else self._wake_s
        return min(MOST_HOLD_S, max(LEAST_HOLD_S, HOLD_STARTS * back_s))

    @property
    def wake_s(self) -> float:
        """What a wake is taken to take; 0 where nobody sleeps."""
        return self._wake_s

    def woken(self, took_s: float) -> None:
        """A replica that slept serves, so long after it was asked for."""
        weight = STARTUP_WEIGHT if self._wake_measured else 1.0
        self._wake_measured = True
        self._wake_s += weight * (took_s - self._wake_s)

    def started(self, took_s: float) -> None:
        """A replica has answered for the first time, so long after it was asked for."""
        weight = STARTUP_WEIGHT if self._measured else 1.0
        self._measured = True
        self._startup_s += weight * (took_s - self._startup_s)

    def asked(self, now: float) -> None:
        """A request has come that nobody counts: it found no replica, and may have been refused."""
        self._busy_s = max(self._busy_s, now)

    def decide(self, signals: Signals, bounds: Bounds, now: float) -> ScaleDecision:
        """One look."""
        self._note(signals, now)
        had = signals.ready + len(signals.starting_s)
        ask = self._asks(signals)
        if self._demand.floods(signals, signals.ready):
            self._panic_until_s = now + self.settings.load_window_s
        panics = now < self._panic_until_s
        asked = self._asked
        while asked and asked[-1][1] <= ask.replicas:
            asked.pop()
        asked.append((now, ask.replicas))
        while len(asked) > 1 and asked[0][0] <= now - self.down_after_s:
            asked.popleft()
        wanted, why, sentence = self._followed(ask, had, signals, panics, now)
        least, most = bounds.least, max(bounds.least, bounds.most)
        if wanted < least:
            wanted, why, sentence = least, Why.BOUNDS, f"{least} is the fewest there may be: {sentence}"
        elif wanted > most:
            wanted, why, sentence = most, Why.BOUNDS, f"{most} is the most there may be, and not {wanted}: {sentence}"
        if wanted > had:
            self._up_s, self._fell_s = now, -math.inf
        elif 0 < wanted < had and self._fell_s == -math.inf:
            self._fell_s = now
        return ScaleDecision(wanted, had, why, sentence, ask.load, panics, ask.replicas)

    def _asks(self, signals: Signals) -> Ask:
        """What has to be asked for now. Of what is needed a start-up ahead, those that sleep can be asked for later."""
        ahead = self._demand.ask(signals, self._startup_s)
        if not signals.asleep:
            return ahead
        soon = self._demand.ask(signals, self._wake_s)
        if ahead.replicas - signals.asleep > soon.replicas:
            return replace(ahead, replicas=ahead.replicas - signals.asleep)
        return soon

    def _note(self, signals: Signals, now: float) -> None:
        self._demand.note(signals, now)
        if signals.arrived_requests > 0.0 or signals.in_flight > 0.0 or signals.backlog_tokens > 0.0:
            self._busy_s = now
        if not signals.ready:
            self._served_s = now

    def _followed(self, ask: Ask, had: int, signals: Signals, panics: bool, now: float) -> tuple[int, Why, str]:
        if had == 0 and now > self._busy_s:
            return 0, Why.IDLE, "nothing comes"  # whatever is kept in reserve of a traffic that has ended
        idle_s = now - max(self._busy_s, self._served_s)
        if signals.ready and idle_s >= self.settings.zero_after_s:
            return 0, Why.IDLE, f"nothing has come for {self.settings.zero_after_s:.0f} s"
        fails = not signals.ready and 0 < len(signals.starting_s) <= signals.failing
        if fails and now - self._busy_s >= self.settings.zero_after_s:
            return 0, Why.IDLE, f"nothing has come for {self.settings.zero_after_s:.0f} s, and none can start"
        if ask.replicas > had:
            return self._up(ask, had, signals, now)
        if ask.replicas == had:
            return had, Why.ENOUGH, ask.sentence
        wanted, why, sentence = self._down(ask, had, signals, panics, now)
        if wanted == 0:  # one that is still starting was woken for somebody
            left_s = self.settings.zero_after_s - idle_s
            return 1, Why.HOLDING, f"nothing arrives, and the last one stays for {left_s:.0f} s more"
        return wanted, why, sentence

    def _up(self, ask: Ask, had: int, signals: Signals, now: float) -> tuple[int, Why, str]:
        settings, told = self.settings, signals.ttft_ms
        late = told is not None and told > settings.ttft_ms
        small = ask.replicas - had < settings.dead_band_ratio * had
        if small and not late and ask.why is Why.LOAD and had >= ask.bearable:
            return had, Why.DEAD_BAND, f"{ask.replicas} would be too little of a change: {ask.sentence}"
        fell = now - self._fell_s <= FELL_STARTS * self._startup_s
        if fell and not late and ask.why is Why.LOAD and had >= ask.bearable:
            return had, Why.HOLDING, f"some have just gone, and {had} still bear it: {ask.sentence}"
        if signals.failing:  # more of what does not start would not start either
            return had, Why.HOLDING, f"{signals.failing} fail to start, and no more are sent after them: {ask.sentence}"
        coming = len(signals.starting_s)
        return ask.replicas, ask.why, f"{ask.sentence}; {coming} are on their way" if coming else ask.sentence

    def _down(self, ask: Ask, had: int, signals: Signals, panics: bool, now: float) -> tuple[int, Why, str]:
        hold_s, most = self.down_after_s, self._asked[0][1]
        if panics:
            return had, Why.PANIC, f"traffic doubled within seconds, and nothing goes down yet: {ask.sentence}"
        if most >= had or now - self._up_s < hold_s:
            return had, Why.HOLDING, f"{ask.replicas} would do, but have not for {hold_s:.0f} s: {ask.sentence}"
        staying = max(most, self._demand.survivors(signals))
        if staying >= had:
            return had, Why.SURVIVORS, f"{most} would do, but not if a little more came: {ask.sentence}"
        if had - staying < self.settings.dead_band_ratio * had:
            return had, Why.DEAD_BAND, f"{staying} would be too little of a change: {ask.sentence}"
        return staying, ask.why, f"{most} were enough for {hold_s:.0f} s: {ask.sentence}"
