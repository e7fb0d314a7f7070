"""When a pool is too late for the model's objective, and until when it then counts as overloaded."""

from __future__ import annotations

from typing import Final

RECOVERED: Final = 0.7
"""Of the objective: what is due while a pool overflows. So its engines stay busy, and their queues become shorter."""
RECOVERY: Final = 4.0
"""Times the objective: a pool overflows until for so long nothing was late that would not have been on idle engines. As
long as there is too much to do, something is, sooner than that."""

TRIED: Final = 32
"""Of so many that would be late, one is sent all the same. Where only those go that find nobody before them, nothing is
learned of a replica with several at once, and one that computes them together would be taken to be slow for ever."""


class Overflow:
    """Of one pool and one objective."""

    __slots__ = ("_refused", "slo_ms", "until_s")

    def __init__(self, slo_ms: float) -> None:
        self.slo_ms = slo_ms
        self.until_s = float("-inf")
        """While it overflows, requests go to the next pool sooner."""
        self._refused = 0

    def late(self, ttft_ms: float, queue_ms: float, now: float) -> bool:
        """Whether a first token after `ttft_ms` misses the objective; `queue_ms` of that is for what waits before it.

        Where that is for want of engines, and not for the size of the prompt, the pool overflows until it has recovered
        (`RECOVERY`), and until then what is over `RECOVERED` of the objective is late. So neither a short prompt nor a
        moment's luck ends it, and a prompt that is too long for any engine does not begin it.
        """
        due_ms = self.due_ms(now)
        if ttft_ms <= due_ms:
            return False
        if ttft_ms - queue_ms <= due_ms:
            self.until_s = now + RECOVERY * self.slo_ms * 1e-3
        return True

    def tries(self) -> bool:
        """Whether this one of those that would be refused is sent, to see whether it is late."""
        self._refused = (self._refused + 1) % TRIED
        return not self._refused

    def due_ms(self, now: float) -> float:
        """What is in time now."""
        return self.slo_ms * RECOVERED if now < self.until_s else self.slo_ms
