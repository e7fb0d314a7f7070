"""What having replicas sleep needs of the rest of the control plane."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from engines.port import Engine
from gateway.control.membership import Found


class Roll(Protocol):
    """Who serves each engine, as the control plane knows it."""

    def found(self, engine: str) -> Found:
        """Its replicas."""

    def rest(self, engine: str, replica: str, state: str = "") -> bool:
        """Send a replica nothing new, because it is `draining` or `asleep`; empty: send it something again."""

    def greet(self, engine: str, told: Callable[[str], None] | None) -> None:
        """`told` is called with each new replica of the engine before anybody is told of it."""


class Leadership(Protocol):
    """Which of several gateways acts, and what it tells the others."""

    @property
    def leads(self) -> bool:
        """Whether this one acts."""

    def told(self, engine: str) -> tuple[Collection[str], Collection[str]]:
        """Whom the one that acts has leave, and whom it has go."""

    def tell(self, engine: str, leaving: Collection[str], going: Collection[str]) -> None:
        """Tell the others so, as the one that acts."""


class Servers(Protocol):
    """What is behind the names."""

    def engine(self, name: str) -> Engine | None:
        """To ask its replicas by."""

    def launched(self, engine: str) -> bool:
        """Whether its servers are ours alone: started here."""

    def fixed(self, engine: str) -> bool:
        """Whether nobody can start or stop them."""

    def restart(self, engine: str, replica: str) -> None:
        """Have one that was launched here go, so that another is started where one is wanted."""

    def emptied(self, engine: str, replica: str) -> None:
        """What it had cached is gone."""
