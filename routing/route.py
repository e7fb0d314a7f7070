"""A route: everything the request path needs to know of one public model. Immutable, but for what it has learned.

All operations of a model share its endpoints, its retry budget and its token estimate. What differs between them is
which engines speak them, and so which endpoints of each tier may be asked: its `Tiers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routing.choosing.pickers import Picker
from routing.facts import RequestFacts
from routing.failing.budget import RetryBudget
from routing.model import Endpoint
from routing.prefix.index import PrefixIndex
from routing.prefix.news import PrefixNews
from routing.prefix.samples import PrefixSamples
from routing.replicas.replica import NO_SLOT
from routing.tokens import TokenEstimate
from routing.waiting.admission import Admission

if TYPE_CHECKING:
    from routing.choosing.adapters import Adapter, HeldAdapter
    from routing.choosing.filters import Filter
    from routing.failing.ejection import EjectionSettings
    from routing.failing.hedging import Hedging
    from routing.waiting.holding import Holding


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How hard one request tries, and how much retrying one model may do.

    The budget is per worker: with N workers, divide `budget_floor_per_s` and `budget_cap` by N.
    """

    max_attempts: int = 3
    """Attempts per tier, the first included."""
    base_backoff_s: float = 0.025
    max_backoff_s: float = 2.0
    max_retry_after_s: float = 0.1
    """A longer Retry-After is the client's to wait for, not ours: SDKs wait by themselves, and where both wait, three
    tries of each make nine calls."""
    after_send: bool = False
    """Whether a request that an engine had taken when its connection was lost is sent again: it may be billed twice."""
    budget_per_request: float = 0.2
    budget_floor_per_s: float = 10.0
    budget_cap: float = 100.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError("max_attempts must be at least 1")
        if not (0 <= self.base_backoff_s <= self.max_backoff_s and self.max_retry_after_s >= 0):
            raise ValueError("back-off and Retry-After limits must not be negative, nor base over maximum")

    def new_budget(self) -> RetryBudget:
        return RetryBudget(self.budget_per_request, self.budget_floor_per_s, self.budget_cap)


DEFAULT_RETRY = RetrySettings()


@dataclass(frozen=True, slots=True, eq=False)
class Tiers:
    """Pools of endpoints in the order in which they are asked. `Endpoint.tier` is the position of its pool."""

    pools: tuple[tuple[Endpoint, ...], ...]
    """A pool is empty while no target of its tier has a replica."""
    pickers: tuple[Picker, ...]
    """One per pool."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelRoute:
    """One public model and whoever serves it."""

    name: str
    whole: Tiers
    """Every endpoint, whatever it speaks."""
    speakers: dict[str, Tiers]
    """Operation -> the endpoints that speak it, in the tiers of `whole`. Operations with the same speakers share one
    object; one that no target speaks is not there. Never changed; a dict, because each request looks into it twice, and
    through a proxy a look costs 0.1 us more."""
    policy: str
    retry: RetrySettings
    budget: RetryBudget
    tokens: TokenEstimate
    line: Admission
    """Of requests that find every endpoint full."""
    overflows: bool = False
    """Whether a tier that would be late is passed over for the next."""
    refuse_late_ms: float = 0.0
    """The objective, where a request that would miss it everywhere is refused at once; 0: nothing is refused for it."""
    prefixes: PrefixIndex | None = None
    """Where the policy notes who was sent which prompt; None where it does not want to know."""
    news: PrefixNews | None = None
    """Where that is noted for others; None where nobody else chooses."""
    samples: PrefixSamples | None = None
    """Where prompts go whose tokens are to be counted; None where the policy does not want to know."""
    adapters: frozenset[Adapter] = frozenset()
    """Those of its upstream models that are adapters, which only some replicas may hold."""
    keyed: frozenset[str] = frozenset()
    """Engines whose replicas differ in the key that they are asked with: what one is refused, another may not be."""
    loads: frozenset[Adapter] = frozenset()
    """Those of them that are loaded on demand."""
    held: HeldAdapter | None = None
    """Who holds them; None where there are none, or everybody does."""
    notes: bool = False
    """Whether it is noted where requests are sent, for the sake of `prefixes` or of `loads`."""
    filters: tuple[Filter, ...] = ()
    """Asked in this order, before anything is picked."""
    holding: Holding | None = None
    """Where requests wait for the first replica of an engine that has none."""
    hedging: Hedging | None = None
    """Where late streams are asked for a second time."""
    ejection: EjectionSettings | None = None
    """Where a replica that does worse than its peers stands aside."""
    continuations: int = 0
    """How often a stream whose engine dies may go on elsewhere."""

    @property
    def is_divided(self) -> bool:
        """Whether requests differ in where they may go."""
        if self.filters:
            return True
        tiers = iter(self.speakers.values())
        first = next(tiers, None)
        return any([other is not first for other in tiers])  # noqa: C419 - compiled, it is faster

    def asked(self, operation: str) -> Tiers:
        """Those of `speakers` of this operation that adapters allow."""
        whole = self.speakers[operation]
        return whole if self.held is None else self.held.among(whole)

    def sent(self, facts: RequestFacts, endpoint: Endpoint) -> None:
        """The request has gone to the endpoint, whose replica will hold its prompt, and uses an adapter there."""
        if self.held is not None:
            self.held.sent(endpoint)
        if self.prefixes is not None and endpoint.state.slot != NO_SLOT:
            packed = self.prefixes.add(facts.prefix, endpoint.state.slot)
            if self.news is not None and packed:
                self.news.note(endpoint.state.key, packed)

    def endpoints(self) -> Iterator[Endpoint]:
        """Every endpoint, tier by tier."""
        for pool in self.whole.pools:
            yield from pool
