"""What counts in a cost: a policy, as the pickers of least cost are told it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from routing.facts import RequestFacts
from routing.model import Endpoint
from routing.replicas.replica import ReplicaState

LATENESS: Final = 10.0
LEAST_SHARE: Final = 0.3
"""Of the time that a prefill takes from others, on a replica where nobody goes yet: a burst of one prompt that nobody
holds follows the first of it, as none of the others would be sooner anywhere else."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What counts: a policy. Queue, prefill, others and load always do."""

    caches: bool = False
    """What each replica's cache holds of the prompt, by an index of what it was sent."""
    session: bool = False
    """A conversation stays where it is as long as that costs less than to prefill it elsewhere. Needs no index, so
    everybody who chooses agrees without talking."""
    ms_per_usd: float = 0.0
    """How many milliseconds a US dollar is worth."""
    slow_start_s: float = 0.0
    """Over how long what a replica has to do weighs more, after it came or came back: ten times at first, and less and
    less until it weighs as much as elsewhere. So it is given a rising share."""
    slo_ttft_ms: float | None = None
    """When the first token is due. Where a pool would be later than that, the next one is asked (`late`)."""


def usd_of(endpoint: Endpoint, facts: RequestFacts) -> float:
    """What the request's tokens cost there, in US dollars."""
    return facts.prompt_tokens * endpoint.usd_per_input_token + facts.output_tokens * endpoint.usd_per_output_token


def shares_of_load(states: Sequence[ReplicaState], foreign: Sequence[float]) -> list[float]:
    """Of each replica, how many a prefill there takes time from: its requests in flight, with the `foreign` ones that
    were sent there by others, over the mean of all; from `LEAST_SHARE` to 1.

    What is in flight is what came in the last moments. So a hot prompt comes soonest to a replica that is new, or has
    less to do than others, and the more alike all are, the longer it stays where it is.
    """
    counts = [
        state.in_flight_requests + state.remote_requests + more for state, more in zip(states, foreign, strict=True)
    ]
    mean = sum(counts) / max(1, len(counts))
    if mean <= 0.0:
        return [LEAST_SHARE] * len(counts)
    least = LEAST_SHARE * mean
    return [1.0 if count >= mean else LEAST_SHARE if count <= least else count / mean for count in counts]
