"""What a flight begins with: a request that came, with what is known of it, and where it runs."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engines.model import Operation
    from gateway.accounts.settlement import Settlement
    from gateway.body.envelope import Envelope
    from gateway.fleet.snapshot import Serving
    from gateway.http.request import Request
    from gateway.identity import Principal
    from gateway.waiting import WaitingRoom


class Here:
    """Where flights run: what all of one worker have in common."""

    __slots__ = ("loop", "rng", "room", "settlement")

    def __init__(
        self, settlement: Settlement, room: WaitingRoom, loop: asyncio.AbstractEventLoop, rng: random.Random
    ) -> None:
        self.settlement: Final = settlement
        self.room: Final = room
        self.loop: Final = loop
        self.rng: Final = rng


class Incoming:
    """One request that may go up. Its flight takes what it needs of this, and does not keep it."""

    __slots__ = ("operation", "parsed", "principal", "received_s", "record_id", "request", "request_id", "serving")

    def __init__(
        self,
        request: Request,
        operation: Operation,
        request_id: bytes,
        record_id: bytes,
        principal: Principal,
        parsed: Envelope,
        serving: Serving,
        received_s: float,
    ) -> None:
        """`parsed`: its body, as far as it is read; `serving`: what serves it, of the fleet of this moment."""
        self.request: Final = request
        self.operation: Final = operation
        self.request_id: Final = request_id
        self.record_id: Final = record_id
        self.principal: Final = principal
        self.parsed: Final = parsed
        self.serving: Final = serving
        self.received_s: Final = received_s
