"""The shares of the arms of an experiment, as records have them: written once, not for each request that has them.

To write a number of a share takes a third of what all the rest of an access line takes.
"""

from __future__ import annotations

from typing import Final

import msgspec

MOST: Final = 256
"""That are kept; there are as many as experiments have had steps."""

_write: Final = msgspec.json.Encoder().encode


class WrittenShares:
    """Belongs to the event loop."""

    __slots__ = ("_known", "_last", "_raw")

    def __init__(self) -> None:
        self._known: Final[dict[tuple[float, ...], msgspec.Raw]] = {}
        self._last: tuple[float, ...] = ()
        self._raw = msgspec.Raw(b"[]")

    def of(self, shares: tuple[float, ...]) -> msgspec.Raw:
        """As JSON: the same object for as long as the same are asked for."""
        if shares is self._last:
            return self._raw
        raw = self._known.get(shares)
        if raw is None:
            if len(self._known) >= MOST:
                self._known.clear()
            raw = self._known[shares] = msgspec.Raw(_write(shares))
        self._last, self._raw = shares, raw
        return raw
