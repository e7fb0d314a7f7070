"""How long a request takes at a replica once it is sent, by what has been learned of both."""

from __future__ import annotations

from routing.facts import RequestFacts
from routing.replicas.replica import ReplicaState


def takes_s(facts: RequestFacts, state: ReplicaState) -> float:
    """Seconds to the last token of an answer of the expected length, with nothing else to prefill there; 0 where the
    replica has answered nothing yet. What is not known of it counts as nothing: it takes at least so long."""
    prefill = state.prefill
    if not prefill.learned:
        return 0.0
    ms = prefill.base_ms + facts.uncached_tokens(state.slot) * prefill.ms_per_token
    return (ms + max(0, facts.output_tokens - 1) * state.decode.ms_per_token) * 1e-3
