"""What one worker knows of stored responses, and whom it asks for the rest: the control plane, beside others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.responses.homes import MOST_ID, Home, Homes


class Others(Protocol):
    """The other workers, by way of the control plane: `gateway.workers.exchange.others.Others`."""

    def kept(self, home: Home) -> None:
        """Tell them of a new one."""

    def home_of(self, response_id: str) -> Awaitable[Home | None]:
        """What they know of an id; None also where nobody answers in time."""


class Keeper:
    """See the module."""

    def __init__(self, others: Others | None, homes: Callable[[], Homes] = Homes) -> None:
        """`others` is None for the only worker."""
        self._others = others
        self._homes = homes()

    @property
    def shares(self) -> bool:
        """Whether somebody else may know what we do not."""
        return self._others is not None

    def must_ask(self, response_id: str) -> bool:
        """Whether somebody else may know a response that we do not. An id too long to be kept is nobody's."""
        return self._others is not None and len(response_id) <= MOST_ID and self._homes.find(response_id) is None

    def keep(self, home: Home) -> None:
        if self._homes.keep(home) and self._others is not None:
            self._others.kept(home)

    def find(self, response_id: str) -> Home | None:
        """What is known here."""
        return self._homes.find(response_id)

    async def ask(self, response_id: str) -> Home | None:
        """What the others know, remembered from then on."""
        if self._others is None:
            return None
        home = await self._others.home_of(response_id)
        if home is not None:
            self._homes.keep(home)
        return home
