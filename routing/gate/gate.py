"""The gate of one canary: told of requests one by one, it says `rollback`, `hold` or `promote`, and why.

A rollback is due from the moment at which some guardrail's evidence is enough, and stays due. A promotion is due while
every guardrail is sure of it. All else is hold: no data, too little of it, or nothing that can be trusted. Pure: what
came in which order is all that matters, and no clock is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from routing.experiments.assignment import Unit
from routing.gate.amounts import Amounts
from routing.gate.ceiling import Tried
from routing.gate.evidence import FirstEvents
from routing.gate.guardrail import Guardrail
from routing.gate.load import Load
from routing.gate.observation import Completed, Measured, Observation, Settled
from routing.gate.rate import Rate
from routing.gate.rounds import Round
from routing.gate.tally import Tally
from routing.gate.units import MISMATCH_ALPHA, ObservedShare, Units
from routing.gate.words import cause_of, mismatch, missing, sure, uneven

ROLLBACK: Final = "rollback"
HOLD: Final = "hold"
PROMOTE: Final = "promote"

IDLE_REQUESTS: Final = 200
"""Of the canary: an amount that none of them nor the control's had does not apply to this model."""


class Ruling(NamedTuple):
    """What is to be done with a canary."""

    action: str
    """`rollback`, `hold` or `promote`."""
    sentence: str
    """Why, for a tired person."""
    stop: bool = False
    """Of a hold: no step may follow, not only not the last."""


class Reading(NamedTuple):
    """How far one kind of evidence is."""

    metric: str
    """With the threshold, of an amount: `ttft p90`."""
    test: str
    """`rollback`, `promote`, `ceiling`; of units, `mismatch`."""
    log_value: float
    """The natural logarithm of the e-value."""
    needed: float
    """What is enough of it."""
    events: int
    canary_events: int
    expected: float
    """What the canary was to have of the events, were it as good as the control."""

    @property
    def part(self) -> float:
        """Of what is enough: 1 decides."""
        return max(0.0, self.log_value) / self.needed


class Gate:
    """Of one arm against the control."""

    __slots__ = (
        "_amounts",
        "_canary_requests",
        "_cause",
        "_control_requests",
        "_cost",
        "_duration",
        "_flagged",
        "_load",
        "_met",
        "_met_before",
        "_rates",
        "_shares",
        "_told",
        "_tpot",
        "_tried",
        "_ttft",
        "arm",
        "units",
    )

    def __init__(self, guardrails: Sequence[Guardrail], *, arm: int = 1, sticky: bool) -> None:
        """`sticky`: the unit of assignment is more than one request (a user, a session, a key)."""
        self.arm: Final = arm
        self.units: Final = Units(sticky=sticky)
        self._load: Final = Load()
        self._rates: Final = {one.metric: Rate(one, sticky=sticky) for one in guardrails if one.rate}
        self._amounts: Final = {
            one.metric: Amounts(one, self._load, sticky=sticky) for one in guardrails if not one.rate
        }
        # Those that are known of a request when it ends.
        self._flagged: Final = [rate for rate in self._rates.values() if rate.flag]
        self._ttft: Final = self._amounts.get("ttft")
        self._tpot: Final = self._amounts.get("tpot")
        self._duration: Final = self._amounts.get("duration")
        self._cost: Final = self._amounts.get("cost")
        self._shares: tuple[float, ...] | None = None
        self._met: ObservedShare | None = None
        """What was met while arms had `_shares`, which most of what is told of has; None: they say nothing."""
        self._tried: Final = Tried() if sticky else None
        self._told: Final = {one.metric: FirstEvents() for one in guardrails if one.custom and (one.rate or not sticky)}
        """Of custom metrics, the units of which something was told: whoever tells it again is not heard. Of a user's
        amounts there are several, and `Amounts` makes one number of them."""
        self._cause = ""
        self._met_before = 0
        self._control_requests = 0
        self._canary_requests = 0

    @property
    def requests(self) -> list[int]:
        """Settled ones of the control and of the canary."""
        return [self._control_requests, self._canary_requests]

    def tell_all(self, experiment: str, now: Round, seen: Sequence[Observation]) -> None:
        """Of all that was seen, what is of this experiment and of its round of now."""
        for one in seen:
            if one.experiment == experiment and now.has(one):
                self.tell(one)

    def tell(self, told: Observation) -> bool:
        """What a worker told; returns whether a rollback is due since then. Of other arms, nothing."""
        arm = told.arm
        canary = arm == self.arm
        if arm != 0 and not canary:
            return False
        if told.shares is not self._shares:
            self._look_at(told.shares)
        met = self._met
        if met is None:
            return False
        if isinstance(told, Settled):
            if isinstance(told, Completed):
                self.units.meet_at(met, told.unit, canary)
            return self._settled(told, canary, met.beside(canary)) and self._decide()
        if isinstance(told, Measured):
            return self._measured(told, canary, met.beside(canary)) and self._decide()
        self.units.meet_at(met, told.unit, canary)
        return False

    def _look_at(self, shares: tuple[float, ...]) -> None:
        """Arms had these."""
        self._shares, self._met = shares, None
        if len(shares) <= self.arm:
            return
        both = shares[0] + shares[self.arm]
        configured = shares[self.arm] / both if both > 0.0 else 0.0
        if 0.0 < configured < 1.0:  # with one arm alone, whose events they are says nothing
            self._met = self.units.at(configured)

    def begin_step(self) -> None:
        """Another share from now on: latency and cost are judged by what the control was like until now."""
        self._met_before = self.units.canary
        for amounts in self._amounts.values():
            amounts.begin_step()

    def _settled(self, told: Settled, canary: bool, share: float) -> bool:
        if canary:
            self._canary_requests += 1
        else:
            self._control_requests += 1
        unit, flags, in_flight = told.unit, told.flags, told.in_flight
        if in_flight > 0.0:
            self._load.request(canary, in_flight)
        worse = False
        for rate in self._flagged:
            if self._trial(rate, unit, canary, share, flags & rate.flag != 0):
                worse = True
        through = self._tried.request(unit) if canary and self._tried is not None else None
        if through is not None:
            for rate in self._rates.values():
                rate.through(through)
        ttft_ms, tpot_ms, duration_ms, cost_usd = told.ttft_ms, told.tpot_ms, told.duration_ms, told.cost_usd
        ttft, tpot, duration, cost = self._ttft, self._tpot, self._duration, self._cost
        if ttft is not None and ttft_ms is not None and ttft.request(unit, canary, share, ttft_ms, in_flight):
            worse = True
        if tpot is not None and tpot_ms is not None and tpot.request(unit, canary, share, tpot_ms, in_flight):
            worse = True
        if duration is not None and duration_ms is not None:
            worse |= duration.request(unit, canary, share, duration_ms, in_flight)
        if cost is not None and cost_usd is not None and cost.request(unit, canary, share, cost_usd, in_flight):
            worse = True
        return worse

    def _measured(self, told: Measured, canary: bool, share: float) -> bool:
        once = self._told.get(told.metric)
        if not math.isfinite(told.value) or (once is not None and not once.is_first(told.unit)):
            return False
        rate = self._rates.get(told.metric)
        if rate is not None and rate.guardrail.custom:
            return self._trial(rate, told.unit, canary, share, rate.guardrail.worse(told.value) >= 0.5)
        amounts = self._amounts.get(told.metric)
        if amounts is not None and amounts.guardrail.custom:
            return amounts.request(told.unit, canary, share, told.value, 0.0)
        return False

    def _trial(self, rate: Rate, unit: Unit, canary: bool, share: float, event: bool) -> bool:
        if canary:
            rate.canary_trials += 1
            rate.tried(unit, event)
        else:
            rate.control_trials += 1
        return event and rate.tally.event(unit, canary, share) and canary

    def _decide(self) -> bool:
        """Whether a rollback is due since the last event."""
        if self._cause:
            return False
        for metric, tally, level in self._rolling_back():
            if tally.worse.rejects(level):
                self._cause = cause_of(metric, tally, self._limit(metric, tally), self._load)
                return True
        return False

    def _limit(self, metric: str, tally: Tally) -> float | None:
        amounts = self._amounts.get(metric)
        return amounts.thresholds.get(tally.name) if amounts is not None else None

    def _rolling_back(self) -> list[tuple[str, Tally, float]]:
        rates = [(metric, rate.tally, rate.tally.level) for metric, rate in self._rates.items()]
        amounts = [
            (metric, tally, tally.level) for metric, one in self._amounts.items() for tally in one.tallies.values()
        ]
        return rates + amounts

    # -- what it says --------------------------------------------------------------------------------------------------

    @property
    def load_ratio(self) -> float:
        """The canary's requests in flight per replica, over the control's; 1 until enough of both is known."""
        return self._load.ratio

    @property
    def step_units(self) -> int:
        """How many units of the canary were met since the step began."""
        return self.units.canary - self._met_before

    @property
    def rolls_back(self) -> bool:
        """Whether a rollback is due."""
        return bool(self._cause)

    def verdict(self) -> Ruling:
        """What is to be done now."""
        if self._cause:
            return Ruling(ROLLBACK, self._cause)
        if self.units.mismatch:
            return Ruling(HOLD, mismatch(self.units), True)
        lacking = [metric for metric, rate in self._rates.items() if not rate.tally.promotes]
        for metric, amounts in self._amounts.items():
            held = amounts.held_by_load
            if held is not None:
                return Ruling(HOLD, uneven(metric, held, self._load), True)
            if not amounts.promotes and not (amounts.idle and self.requests[1] >= IDLE_REQUESTS):
                lacking.append(metric)
        if lacking:
            return Ruling(HOLD, missing(lacking, self.requests))
        return Ruling(PROMOTE, sure(list(self._rates) + list(self._amounts), self.requests))

    def readings(self) -> list[Reading]:
        """How far all evidence is."""
        found: list[Reading] = []
        for metric, tally, _ in self._rolling_back():
            name = f"{metric} {tally.name}" if tally.name else metric
            counts = (tally.events, tally.canary, tally.share * tally.events)
            found.append(Reading(name, ROLLBACK, tally.worse.log_value, -math.log(tally.level), *counts))
            found.append(Reading(name, PROMOTE, tally.better.log_value, -math.log(tally.promote_level), *counts))
            if tally.ceiling is not None:
                one = tally.ceiling
                needed = -math.log(tally.promote_level)
                found.append(Reading(name, "ceiling", one.log_value, needed, one.events, one.events, 0.0))
        units = self.units
        needed = -math.log(MISMATCH_ALPHA)
        met = units.units, units.canary, units.expected
        found.append(Reading("units", "mismatch", units.balance.log_value, needed, *met))
        return found

    def arms(self) -> list[tuple[str, list[tuple[int, float, float]]]]:
        """Of each metric, for the control and for the canary: how many there are, their sum and their squares' sum.

        Of rates, events among units (requests, where these are the units); of amounts, the units' numbers.
        """
        found: list[tuple[str, list[tuple[int, float, float]]]] = []
        for metric, rate in self._rates.items():
            events = [rate.tally.events - rate.tally.canary, rate.tally.canary]
            units = [self.units.units - self.units.canary, self.units.canary]
            found.append((metric, [(n, float(k), float(k)) for n, k in zip(units, events, strict=True)]))
        for metric, amounts in self._amounts.items():
            both = zip(amounts.seen, amounts.sums, strict=True)
            found.append((metric, [(n, total, squares) for n, (total, squares) in both]))
        return found

    def sample(self, metric: str) -> list[tuple[int, float, float]]:
        """Of one metric, as `arms`: less is better. Of a custom one, units are those of which something was told.
        Raises KeyError."""
        rate = self._rates.get(metric)
        if rate is not None and rate.guardrail.custom:
            events = [rate.tally.events - rate.tally.canary, rate.tally.canary]
            trials = [rate.control_trials, rate.canary_trials]
            return [(n, float(k), float(k)) for n, k in zip(trials, events, strict=True)]
        return dict(self.arms())[metric]

    def guardrail(self, metric: str) -> Guardrail:
        """That of a metric. Raises KeyError."""
        rate = self._rates.get(metric)
        return rate.guardrail if rate is not None else self._amounts[metric].guardrail

    # -- over a restart ------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """To go on from later (`restore`): what msgpack takes."""
        state: dict[str, Any] = {"rates": {}, "amounts": {}, "told": {}}
        for where, name, piece in self.pieces():
            (state[where] if where else state)[name] = piece
        return state

    def pieces(self) -> Iterator[tuple[str, str, Any]]:
        """The state in pieces that are made one after the other, as a group (or none), a name and what it is of: with
        300,000 units each takes milliseconds, and nothing must be told meanwhile."""
        yield "", "of", self._of()
        yield "", "units", self.units.state()
        yield "", "load", self._load.state()
        for metric, rate in self._rates.items():
            yield "rates", metric, rate.state()
        for metric, amounts in self._amounts.items():
            yield "amounts", metric, amounts.state()
        yield "", "tried", [] if self._tried is None else self._tried.state()
        for metric, told in self._told.items():
            yield "told", metric, told.state()
        yield "", "cause", self._cause
        yield "", "met_before", self._met_before
        yield "", "requests", self.requests

    def _of(self) -> list[str]:
        """What evidence is evidence of."""
        rails = [*[one.guardrail for one in self._rates.values()], *[one.guardrail for one in self._amounts.values()]]
        return ["sticky" if self._tried is not None else "requests", *[repr(rail) for rail in rails]]

    def restore(self, state: dict[str, Any]) -> None:
        """Raises ValueError, KeyError or TypeError where it is of other guardrails: begin anew then."""
        if list(state["of"]) != self._of():
            raise ValueError("evidence of other guardrails, or of units of another kind")
        self.units.restore(state["units"])
        self._shares = self._met = None
        self._load.restore(state["load"])
        for metric, rate in state["rates"].items():
            self._rates[metric].restore(rate)
        for metric, amounts in state["amounts"].items():
            self._amounts[metric].restore(amounts)
        if self._tried is not None:
            self._tried.restore(state["tried"])
        for metric, told in state["told"].items():
            self._told[metric] = FirstEvents.of(told)
        self._cause = state["cause"]
        self._met_before = state["met_before"]
        self._control_requests, self._canary_requests = state["requests"]
