"""Prompts, with what was written of them, that are kept although something has left: of streams that have sent nothing
but comments so far, and of those that go on elsewhere when their engine dies (`gateway.continuation`), with what was
said of them. So are bodies of requests that wait for an adapter (`gateway.adapters`), and copies for a shadow.

Some providers (OpenRouter: `: OPENROUTER PROCESSING`) send comments for as long as they look for a server, and perhaps
an error after them. Until the first real event another engine can answer in their place, which takes the prompt. How
much is kept so is bounded; a stream that finds no room goes on without, and what fails in it is told inside it.
"""

from __future__ import annotations

from typing import Final

BOUND_BYTES: Final = 128 * 1024 * 1024
"""Of one worker."""


class HeldPrompts:
    """How many bytes of prompts one worker keeps so."""

    __slots__ = ("_bound_bytes", "bytes")

    def __init__(self, bound_bytes: int = BOUND_BYTES) -> None:
        self._bound_bytes = bound_bytes
        self.bytes = 0

    def hold(self, size: int) -> bool:
        """Whether a prompt of so many bytes may be kept; it is then counted until `release`."""
        if self.bytes + size > self._bound_bytes:
            return False
        self.bytes += size
        return True

    def release(self, size: int) -> None:
        """One of so many bytes is kept no more."""
        self.bytes -= size


class Share:
    """What is counted of one copy."""

    __slots__ = ("_held", "bytes")

    def __init__(self, held: HeldPrompts) -> None:
        self._held = held
        self.bytes = 0

    def grow(self, size: int) -> bool:
        """Have it counted as so many bytes, where that is more than so far; False when there is no room for them."""
        more = size - self.bytes
        if more > 0:
            if not self._held.hold(more):
                return False
            self.bytes = size
        return True

    def release(self) -> None:
        """Nothing of it is kept any more. Safe to call again."""
        self._held.release(self.bytes)
        self.bytes = 0
