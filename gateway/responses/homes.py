"""Which replica holds which response: the newest `MOST_HOMES` of them. The oldest are forgotten first."""

from __future__ import annotations

from typing import Final

import msgspec

MOST_HOMES: Final = 65_536
"""About 20 MB."""
MOST_ID: Final = 256
"""Characters of an id; who reads answers keeps no longer one (`engines.wire.openai_responses`)."""


class Home(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where one response is kept."""

    response_id: str
    model: str
    """The public name."""
    engine: str
    replica: str
    tenant: str
    """Whose it is: nobody else hears of it."""


class Homes:
    """See the module."""

    __slots__ = ("_homes", "_most")

    def __init__(self, most: int = MOST_HOMES) -> None:
        self._homes: dict[str, Home] = {}
        self._most = most

    def keep(self, home: Home) -> bool:
        """Remember it; returns whether that is new."""
        known = self._homes.pop(home.response_id, None)
        self._homes[home.response_id] = home
        if len(self._homes) > self._most:
            del self._homes[next(iter(self._homes))]
        return known != home

    def find(self, response_id: str) -> Home | None:
        return self._homes.get(response_id)

    def __len__(self) -> int:
        return len(self._homes)
