"""A second attempt beside one whose first byte is late (Dean and Barroso, "The Tail at Scale", 2013).

It goes to another replica of the same tier, once per request, after a delay: the one that was set, or the p95 of the
time to the first byte, learned for prompts of about the same size. So about one stream of twenty is sent twice.

What is learned is the time from the first dispatch to the first byte, whoever sent it. A hedge answers after the delay
by its nature, so it moves no value across it: the p95 of what is learned is that of an unhedged fleet, and the delay
does not shrink because of the hedges it makes.

No hedge is sent without a token of the model's retry budget, while requests of the model wait for room, or to a replica
that is known to be full: where there is too little, doing things twice makes it less.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from routing.choosing.filters import passed_over
from routing.choosing.policy import is_full
from routing.facts import RequestFacts
from routing.model import Endpoint
from routing.replicas.quantile import DecayedQuantile
from routing.route import ModelRoute

SHARE: Final = 0.95
DECAY_S: Final = 300.0
LEAST_SAMPLES: Final = 30.0
"""So many fresh ones, or what they are worth, before a p95 is believed."""
LEAST_DELAY_S: Final = 0.001


class Withheld(Enum):
    """Why a hedge that was due is not sent; the value is a metric label."""

    WAITING = "queue"
    NO_REPLICA = "no_replica"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class HedgingSettings:
    """Of one model. `after_ms`: the delay; None learns it."""

    after_ms: float | None = None


class Hedging:
    """When the streams of one model are hedged. It outlives routes, for what it has learned."""

    __slots__ = ("_by_size", "settings")

    def __init__(self, settings: HedgingSettings) -> None:
        self.settings = settings
        self._by_size: dict[int, DecayedQuantile] = {}

    def delay_s(self, prompt_tokens: int, now: float) -> float | None:
        """How long a first byte may take; None while too little is known."""
        after_ms = self.settings.after_ms
        if after_ms is not None:
            return after_ms * 1e-3
        known = self._by_size.get(_size(prompt_tokens))
        if known is None or known.weight(now) < LEAST_SAMPLES:
            return None
        return max(LEAST_DELAY_S, known.read(now) * 1e-3)

    def learn(self, prompt_tokens: int, ttft_s: float, now: float) -> None:
        """A request of so many tokens had its first byte so long after its first dispatch."""
        size = _size(prompt_tokens)
        known = self._by_size.get(size)
        if known is None:
            known = self._by_size[size] = DecayedQuantile(SHARE, DECAY_S)
        known.add(ttft_s * 1e3, now)


def second(
    route: ModelRoute, facts: RequestFacts, tried: Sequence[Endpoint], now: float, rng: random.Random
) -> Endpoint | Withheld:
    """Where the second attempt goes beside those at `tried`, the last of which is on its way; or why it goes nowhere.

    Takes from the model's retry budget when it names an endpoint.
    """
    if route.line.waiting:
        return Withheld.WAITING
    speakers = route.speakers[facts.operation]
    tier = tried[-1].tier
    used = [endpoint.state for endpoint in tried]
    over = passed_over(route, facts, now)
    skip = [
        endpoint
        for endpoint in speakers.pools[tier]
        if endpoint.state in used or endpoint in over or is_full(endpoint, facts, route, now)
    ]
    endpoint = speakers.pickers[tier].pick(facts, now, rng, skip)
    if endpoint is None:
        return Withheld.NO_REPLICA
    return endpoint if route.budget.withdraw(now) else Withheld.BUDGET


def _size(prompt_tokens: int) -> int:
    """Prompts within a factor of four: a long one takes longer to prefill anywhere, and is late nowhere."""
    return prompt_tokens.bit_length() // 2
