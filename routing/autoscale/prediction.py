"""The time to a first token that a request of this moment should meet at one of several like replicas."""

from __future__ import annotations

from typing import Final

from routing.replicas.rates import SEED_BASE_MS, SEED_MS_PER_TOKEN

USUAL_TOKENS: Final = 500.0
"""Of a prompt, until any has ended."""


def first_token_ms(
    *, ready: int, ahead_tokens: float, prompt_tokens: float, ms_per_token: float, base_ms: float
) -> float | None:
    """None where nothing is ready. `ahead_tokens` wait for all of them; speeds and lengths of 0 are unknown."""
    if not ready:
        return None
    computed = ahead_tokens / ready + (prompt_tokens or USUAL_TOKENS)
    return (base_ms or SEED_BASE_MS) + computed * (ms_per_token or SEED_MS_PER_TOKEN)
