"""How long a connection waits in each of its states, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Every state of a connection has one of these, but for work in progress whose answer is read: work has its own."""

    keep_alive_s: float = 75.0
    """Between two requests."""
    head_s: float = 30.0
    """From a request's first byte to the end of its head."""
    body_idle_s: float = 30.0
    """Between two reads of a body."""
    body_free_s: float = 10.0
    """After this long a body must have brought `body_bytes_per_s` on the average since."""
    body_bytes_per_s: float = 1024.0
    linger_s: float = 2.0
    """What still comes after a refusal is read and thrown away, so that the refusal is received."""
    stalled_s: float = 30.0
    """How long a client may take nothing of an answer that is whole."""
    unread_s: float = 120.0
    """How long it may take nothing of one in progress. An engine's own idle time is usually over before."""

    def body_due_s(self, since_s: float, read_s: float, size: int) -> float:
        """When a body is late that began at `since_s`, last brought bytes at `read_s`, and has `size` of them."""
        return min(read_s + self.body_idle_s, since_s + self.body_free_s + size / self.body_bytes_per_s)
