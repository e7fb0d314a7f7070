"""Weeks of traffic for tests: independent requests, so that what is expected of them is known."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from routing.drift.histogram import Histogram, bucket_of
from routing.drift.identity import Seen
from routing.drift.signals import AMOUNTS, COUNTED, SCRIPTS
from routing.drift.watch import Hour

ANSWERS = {("openai", "response_model", "gpt-1"): 200}


def histogram(rng: random.Random, requests: int, *, shift: float = 0.0) -> Histogram:
    """Of values with a logarithm that is normal, with a standard deviation of 1."""
    found = Histogram()
    for _ in range(requests):
        found.add(bucket_of(math.exp(rng.gauss(6.0 + shift, 1.0))))
    return found


def hour(
    rng: random.Random,
    requests: int = 200,
    *,
    shift: float = 0.0,
    shares: Mapping[str, float] | None = None,
    identities: Seen = ANSWERS,
    users_known: bool = True,
) -> Hour:
    """One hour; `shares` are those of `COUNTED`, all but some errors being answers unless it says otherwise."""
    usual = {"answers": 0.99, "errors": 0.01, "length": 0.02, "refusals": 0.01, "tool_calls": 0.3}
    usual |= {"told": 0.5, "thumbs_down": 0.05, "texts": 0.5, "refusal_phrases": 0.02, "json_asked": 0.3}
    usual |= {"json_invalid": 0.01, **dict.fromkeys(SCRIPTS, 0.0), "latin": 0.45, "han": 0.01}
    told = usual | dict(shares or {})
    one = histogram(rng, requests, shift=shift)
    blocks = [[100, *[sum(rng.random() < told[name] for _ in range(100)) for name in COUNTED]] for _ in range(2)]
    return Hour(requests, dict.fromkeys(AMOUNTS, one), blocks, identities, users_known)


def week(rng: random.Random, requests: int = 200) -> dict[int, Hour]:
    return {at: hour(rng, requests) for at in range(168)}
