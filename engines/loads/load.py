"""The load of one replica, as its engine tells it."""

from __future__ import annotations

import msgspec


class EngineLoad(msgspec.Struct, frozen=True, gc=False):
    """What one replica says of itself at one moment. None is what it does not tell.

    The collector need not look at it: thousands that had replaced others were what a pass in a reload took longest for.
    """

    running: int | None = None
    """Requests that are being computed, of everybody."""
    waiting: int | None = None
    """Requests that wait for room, of everybody."""
    kv_usage: float | None = None
    """What part of the KV cache is in use, 0 to 1; of several engines behind one address the mean."""
    cache_tokens: int | None = None
    """What the KV cache has room for."""
    block_size: int | None = None
    """Tokens to a block of the KV cache."""
    prefix_queries_tokens: int | None = None
    """Prompt tokens that were looked up in the prefix cache since the engine started."""
    prefix_hits_tokens: int | None = None
    """Those of them that were found."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters of requests that it computes or lets wait."""
