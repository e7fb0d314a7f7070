"""What a client is told when no replica may be asked: why, and in how many seconds one may be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final

from gateway.errors import Failure
from routing.model import Endpoint

RECHECK_S: Final = 5.0
"""For what has no time of its own: a server that starts, one that drains. The usual interval of health probes."""


def nobody(model: str, pools: Iterable[Sequence[Endpoint]], now: float) -> Failure:
    """The refusal of a request for `model`, which these pools serve."""
    waits = [_wait_s(endpoint, now) for pool in pools for endpoint in pool]
    seconds = max(1, ceil(min(waits, default=RECHECK_S)))
    why = "is available at the moment" if waits else "has started yet"
    return Failure(
        "no_replica", f"no replica of model {model!r} {why}; try again in {seconds} s", retry_after_s=float(seconds)
    )


def _wait_s(endpoint: Endpoint, now: float) -> float:
    """When it may be asked, as far as anybody knows."""
    state = endpoint.state
    if state.draining:
        return RECHECK_S
    # Its breaker lets a probe through then; one that is past that has a probe on its way.
    return max(0.0, state.breaker.open_until - now)
