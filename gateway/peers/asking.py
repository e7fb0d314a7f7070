"""The loop that asks the other gateways what they have to do: each of them, every second, by the addresses of one name.

A name server that fails leaves the addresses as they were, and one that has answered within the last 15 s is asked on
although the name leads there no more: a pod that ends leaves the name at once, and drains for minutes. Until the name
was found, and each of its addresses has answered once or is known to be nobody's, nobody knows who streams from what
(`complete`). A gateway that does not answer, answers too much or answers something else is passed over, said once in
the log, and asked again the next second: `PeerBoard` says for how long its last figures count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog

from gateway import clock
from gateway.peers.answer import LoadAnswer
from gateway.peers.board import COUNTS_S, PeerBoard
from gateway.settings import Settings
from gateway.settings.sections.peers import Peers
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.peers import PEER_AGE, PEERS

EVERY_S: Final = 1.0
LOOKUP_EVERY_S: Final = 5.0
LOOKUP_S: Final = 2.0
MOST: Final = 64
"""Gateways that are asked; more are left out, and the log says so."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
Ask = Callable[[Peers, str], Awaitable[bytes]]
"""What the gateway at this address answers. Raises OSError or ValueError, whose message says why it does not."""

_decode: Final = msgspec.json.Decoder(LoadAnswer).decode

log = structlog.get_logger()


class AskPeers:
    """See the module."""

    def __init__(
        self,
        board: PeerBoard,
        metrics: Metrics,
        ask: Ask,
        resolve: Resolve,
        monotonic: Callable[[], float] = clock.monotonic,
        woken: Callable[[list[str]], None] = lambda _: None,
    ) -> None:
        """`ask` asks one, `resolve` looks a name up; `woken` is told of engines for which requests came elsewhere."""
        self._board = board
        self._ask = ask
        self._resolve = resolve
        self._monotonic = monotonic
        self._woken = woken
        self._section: Peers | None = None
        self._addresses: Sequence[str] = ()
        self._looked_s = float("-inf")
        self._answered_s: dict[str, float] = {}
        """When each has answered last."""
        self._known: set[str] = set()
        """Those that have answered, or at which nobody listens."""
        self._silent: dict[str, str] = {}
        """Those that did not answer the last time, and why."""
        self._unfound = ""
        self._found = 0
        metrics.watch(PEER_AGE, lambda: board.ages_s(monotonic()))
        metrics.watch(PEERS, lambda: [((), float(board.count(monotonic())))] if self._section is not None else [])

    def use(self, settings: Settings) -> None:
        """These settings are in use from now on."""
        before, self._section = self._section, settings.peers
        if before is None or self._section is None or before.dns != self._section.dns:
            self._addresses, self._looked_s = (), float("-inf")
            for known in (self._silent, self._answered_s, self._known):
                known.clear()
        if self._section is None:
            self._board.forget()

    @property
    def complete(self) -> bool:
        """Whether all who are there have been heard, or there is nobody to be heard."""
        return self._section is None or (bool(self._addresses) and self._known.issuperset(self._addresses))

    async def look(self) -> None:
        """The loop's step."""
        section = self._section
        if section is None:
            return
        if self._monotonic() - self._looked_s >= LOOKUP_EVERY_S:
            await self._find(section)
        now = self._monotonic()
        self._answered_s = {address: at for address, at in self._answered_s.items() if now - at <= COUNTS_S}
        asked = dict.fromkeys([*self._addresses, *self._answered_s])
        await asyncio.gather(*[self._hear(section, address) for address in asked])
        self._silent = {address: why for address, why in self._silent.items() if address in asked}
        self._known &= asked.keys()

    async def _find(self, section: Peers) -> None:
        try:
            async with asyncio.timeout(LOOKUP_S):
                found = sorted(await self._resolve(section.dns, section.port))
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            if why != self._unfound:
                self._unfound = why
                log.warning("peers_not_found", dns=section.dns, why=why)
            return
        self._unfound = ""
        self._looked_s = self._monotonic()
        if len(found) > MOST and len(found) != self._found:
            log.warning("peers_left_out", dns=section.dns, addresses=len(found), most=MOST)
        self._found = len(found)
        self._addresses = found[:MOST]

    async def _hear(self, section: Peers, address: str) -> None:
        try:
            answer = _decode(await self._ask(section, address))
        except (OSError, ValueError, RecursionError) as error:  # what msgspec raises of a bad document is a ValueError
            why = str(error)[:300] or type(error).__name__
            if address not in self._silent:
                log.warning("peer_silent", peer=address, why=why)
            self._silent[address] = why
            if isinstance(error, ConnectionRefusedError):
                self._known.add(address)
                self._answered_s.pop(address, None)
                self._board.refused(address)
            return
        if self._silent.pop(address, None) is not None:
            log.info("peer_answers_again", peer=address)
        now = self._monotonic()
        self._answered_s[address] = now
        self._known.add(address)
        if woken := self._board.note(address, answer, now):
            self._woken(woken)
