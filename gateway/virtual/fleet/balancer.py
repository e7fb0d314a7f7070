"""How a policy joins the modelled gateways: a picker of routing's own kind, and what else it is told.

A picker chooses and changes nothing, so a policy that remembers where prompts went, or counts in its own way, is told
of each call by its `Watcher`; one that reads `/metrics` says how often.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.virtual.fleet.foresight import Foresight
from gateway.virtual.fleet.replicas import Gpu, Scrape, TrueCaches
from gateway.virtual.trace import Call
from routing.choosing.opinion import Opinion
from routing.choosing.pickers import Picker
from routing.facts import RequestFacts
from routing.model import LEAST_LOAD, Endpoint


class Watcher(Protocol):
    """Hears what becomes of the calls of one gateway; `replica` is the place in the pool."""

    def sent(self, call: Call, facts: RequestFacts, replica: int, now: float) -> None: ...

    def first_token(self, call: Call, replica: int, now: float) -> None: ...

    def ended(self, call: Call, replica: int, now: float) -> None: ...


class Rule(Protocol):
    """Somebody else's rule: it knows no objective, so that no later tier is asked for it.

    It is a `Picker` by its shape and not by inheritance, which a compiled port allows to compiled classes only.
    """

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        """See routing.choosing.pickers.Picker."""

    def late(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> bool:
        """See routing.choosing.pickers.Picker."""
        return False

    def ttft_ms(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> float:
        return 0.0

    def overflows(self, now: float) -> bool:
        return False

    def tries(self) -> bool:
        return False

    def soonest(self, facts: RequestFacts, now: float, skip: Collection[Endpoint] = ()) -> Endpoint | None:
        return None

    def home(self, facts: RequestFacts, now: float) -> Endpoint | None:
        return None

    def opinion(self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()) -> Opinion:
        """See routing.choosing.pickers.Picker."""
        return Opinion(self.pick(facts, now, rng, skip), "of a rule that adds nothing up")


class WatchingRule(Rule):
    """A rule that hears what becomes of its calls; whoever is one overrides what interests it."""

    def sent(self, call: Call, facts: RequestFacts, replica: int, now: float) -> None:
        """See Watcher, as for the two below."""

    def first_token(self, call: Call, replica: int, now: float) -> None: ...

    def ended(self, call: Call, replica: int, now: float) -> None: ...


class Scraper(Protocol):
    """Reads the replicas' metrics, in the order of the pool."""

    def scraped(self, scrapes: Sequence[Scrape], now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Balancer:
    """What one gateway's policy is made of."""

    picker: Picker
    watcher: Watcher | None = None
    scraper: Scraper | None = None
    scrape_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a policy may be built from. Only policies that say so look at the true caches and rates."""

    pool: tuple[Endpoint, ...]
    gpus: tuple[Gpu, ...]
    caches: TrueCaches
    foresight: Foresight
    rng: random.Random


Build = Callable[[Surroundings], Balancer]


@dataclass(frozen=True, slots=True)
class Policy:
    """One way to choose: a policy of routing itself by its name in the configuration, or another's rule."""

    routing: str = LEAST_LOAD
    rule: Build | None = None
    """Takes the place of routing's picker."""
    foresees: bool = False
    """Whether it knows what the caches will hold; a policy of routing is told so in place of what it remembers."""
    spares: bool = False
    """Whether a policy of routing is asked as the served gateway asks it, by `choose_with_room`; a baseline is not."""
    slo_ttft_ms: float | None = None
    """The objective, for a policy that keeps one."""
    refuse_late: bool = False
    """Whether it refuses at once what would miss that wherever it went."""
