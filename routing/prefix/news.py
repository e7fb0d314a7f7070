"""What was sent where since somebody last asked: what others who keep an index of the same replicas have to hear.

To note it is one append, on the path of the request. What becomes of it, and when, is the business of whoever is told
that there is something. The keys of a whole prompt are kept, not only of what was new of it: that a replica has used
what it held is news too, and decides what it forgets first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MOST_BYTES: Final = 1024 * 1024
"""Of keys between two times of asking: 2,048 prompts of 16 KiB, or 64 of 512 KiB."""

Sent = tuple[tuple[str, str], bytes]
"""The replica (engine, id), and the packed keys of a prompt."""


class PrefixNews:
    """Bounded: what does not fit is not noted, and counted."""

    __slots__ = ("_began", "_bytes", "_most_bytes", "_sent", "dropped")

    def __init__(self, began: Callable[[], None], most_bytes: int = MOST_BYTES) -> None:
        """`began` is called when there is something where there was nothing."""
        self._began = began
        self._most_bytes = most_bytes
        self._bytes = 0
        self._sent: list[Sent] = []
        self.dropped = 0
        """Prompts that were not noted."""

    def note(self, replica: tuple[str, str], packed: bytes) -> None:
        """A prompt was sent to the replica."""
        if self._bytes + len(packed) > self._most_bytes:
            self.dropped += 1
            return
        self._bytes += len(packed)
        self._sent.append((replica, packed))
        if len(self._sent) == 1:
            self._began()

    def take(self) -> list[Sent]:
        """All that was noted, once; of equal ones the last. In order."""
        sent, self._sent, self._bytes = self._sent, [], 0
        latest = {(replica, packed[-8:]): (replica, packed) for replica, packed in reversed(sent)}
        return list(reversed(latest.values()))
