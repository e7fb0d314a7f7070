"""What one gateway has for the others, and of them: `own` tells, `asking` asks, `board` remembers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from gateway import clock
from gateway.control.discovery import addresses
from gateway.peers.asking import EVERY_S, AskPeers
from gateway.peers.board import PeerBoard
from gateway.peers.http import HttpAsk
from gateway.peers.own import OwnLoad
from gateway.workers.exchange.demand import EngineDemand
from gateway.workers.exchange.messages import GatewaysCounted

if TYPE_CHECKING:
    from gateway.control.asking.loads import Figures
    from gateway.control.links import Links
    from gateway.process.supervisor import Supervisor
    from gateway.settings import Settings
    from gateway.telemetry.metrics import Metrics


class Wakes(Protocol):
    """Who starts engines that have no replica."""

    def wakes(self, engine: str) -> int:
        """How often requests have come here for it while it had none, ever."""

    def woken_elsewhere(self, engines: Sequence[str]) -> None:
        """They have at another gateway."""


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
        scaling: Callable[[], Wakes],
    ) -> None:
        """For `states` and `kv_usages` see `OwnLoad`; `scaling` hears of requests elsewhere, and tells of ours."""
        self._supervisor = supervisor
        self._links = links
        self._settings = settings
        self.own = OwnLoad(links, settings, states, kv_usages, wakes=lambda engine: scaling().wakes(engine))
        self._board = PeerBoard(self.own.gateway)
        self._http = HttpAsk()
        self._asking = AskPeers(
            self._board, metrics, self._http, addresses, woken=lambda engines: scaling().woken_elsewhere(engines)
        )
        self._loops = False
        self._counted: dict[str, int] = {}
        """What workers know of how many gateways choose."""

    def use(self, settings: Settings) -> None:
        """These settings are in use from now on."""
        self._asking.use(settings)
        if settings.peers is not None and not self._loops:
            self._loops = True
            self._supervisor.loop("peers", self.look, EVERY_S)
        self._tell()

    async def look(self) -> None:
        """The loop's step: ask the others, and tell workers once more or fewer choose among the same replicas. One that
        is silent counts as long as its load does, so that one which is missed for a moment changes nothing."""
        await self._asking.look()
        self._tell()

    def tell_again(self, worker: str) -> None:
        """There is a worker that has heard nothing yet."""
        if self._counted:
            self._links.tell(worker, GatewaysCounted(self._counted))

    def _tell(self) -> None:
        counted = self.gateways()
        if counted != self._counted:
            self._counted = counted
            self._links.tell_all(GatewaysCounted(counted))

    def gateways(self) -> dict[str, int]:
        """By engine, how many gateways choose among its replicas, this one included; those among which it chooses alone
        are left out. Without `peers` there are as many as the configuration says."""
        settings = self._settings()
        shared = [name for name in settings.engines if self._shared(name)]
        if settings.peers is None:
            count = settings.server.gateways
            return dict.fromkeys(shared, count) if count > 1 else {}
        counts = self._board.choosers(shared, clock.monotonic())
        return {name: count + 1 for name, count in counts.items()}

    def demands(self, engines: Sequence[str]) -> Mapping[str, Sequence[EngineDemand]]:
        """What the others have to do for those of these engines that are theirs too: not for what each launches."""
        shared = [name for name in engines if self._shared(name)]
        return self._board.demands(shared, clock.monotonic()) if shared else {}

    def busy(self, engine: str) -> Collection[str] | None:
        """The replicas of an engine at which gateways that tell nothing any more may still have requests; None while
        not all gateways have been heard yet."""
        if not self._shared(engine):
            return ()
        return self._board.busy(engine, clock.monotonic()) if self._asking.complete else None

    def _shared(self, engine: str) -> bool:
        """Whether all gateways send to the same servers: those that are found, or written down."""
        section = self._settings().engines.get(engine)
        return section is not None and (section.found_at is not None or section.writes_replicas)

    async def close(self) -> None:
        await self.own.close()
        await self._http.close()
