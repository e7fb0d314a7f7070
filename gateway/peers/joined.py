"""What one gateway has for the others, and of them: `own` tells, `asking` asks, `board` remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gateway import clock
from gateway.control.discovery import addresses
from gateway.peers.asking import EVERY_S, AskPeers
from gateway.peers.board import PeerBoard
from gateway.peers.http import HttpAsk
from gateway.peers.own import OwnLoad
from gateway.workers.demand import EngineDemand

if TYPE_CHECKING:
    from gateway.control.links import Links
    from gateway.control.loads import Figures
    from gateway.settings import Settings
    from gateway.supervisor import Supervisor
    from gateway.telemetry.metrics import Metrics


class Peering:
    """Joins them."""

    def __init__(
        self,
        supervisor: Supervisor,
        links: Links,
        metrics: Metrics,
        settings: Callable[[], Settings],
        states: Callable[[], Mapping[tuple[str, str], int]],
        kv_usages: Callable[[], Figures],
    ) -> None:
        """For the last two see `OwnLoad`."""
        self._supervisor = supervisor
        self._settings = settings
        self.own = OwnLoad(links, settings, states, kv_usages)
        self._board = PeerBoard(self.own.gateway)
        self._http = HttpAsk()
        self._asking = AskPeers(self._board, metrics, self._http, addresses)
        self._loops = False

    def use(self, settings: Settings) -> None:
        """These settings are in use from now on."""
        self._asking.use(settings)
        if settings.peers is not None and not self._loops:
            self._loops = True
            self._supervisor.loop("peers", self._asking.look, EVERY_S)

    def demands(self, engines: Sequence[str]) -> Mapping[str, Sequence[EngineDemand]]:
        """What the others have to do for those of these engines that are theirs too: not for what each launches."""
        sections = self._settings().engines
        shared = [name for name in engines if name in sections and sections[name].found_at is not None]
        return self._board.demands(shared, clock.monotonic()) if shared else {}

    async def close(self) -> None:
        await self._http.close()
