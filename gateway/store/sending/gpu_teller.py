"""What one worker tells the store of the GPU hours that it is charged for, each minute and at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway import clock
from gateway.store.messages import GpuHour, GpuHours
from gateway.store.sending.shipping import Shipping

if TYPE_CHECKING:
    from gateway.process.supervisor import Supervisor

EVERY_S: Final = 60.0
CLOSE_S: Final = 5.0
BUSY, IDLE = "busy", "idle"

Spent = Callable[[], Iterable[tuple[tuple[str, str], float]]]
"""By engine and `busy` or `idle`, the US dollars since the worker started (`gateway.accounts.gpu.GpuMeters`)."""


class GpuTeller:
    """Belongs to the event loop. Where no engine has a price by the hour it does nothing."""

    def __init__(
        self,
        run: str,
        socket: str,
        data_dir: Path,
        supervisor: Supervisor,
        spent: Spent,
        *,
        close_s: float = CLOSE_S,
        now_s: Callable[[], float] = clock.wall,
    ) -> None:
        """`socket` is the path at which the writer listens; `now_s` is Unix time."""
        self._spent = spent
        self._close_s = close_s
        self._now_s = now_s
        self._before: dict[tuple[str, str], float] = {}
        self._hours: dict[tuple[int, str], dict[str, float]] = {}
        """By hour and engine, what it has cost so far: those of the hour that runs."""
        self._shipping = Shipping(run, socket, data_dir, supervisor.spawn, kind=GpuHours, window=1, spills=False)
        self._closed = False
        supervisor.loop("gpu_hours", self._step, EVERY_S, at_once=False)

    def look(self) -> list[GpuHour]:
        """What has changed, as the hours stand now. What was spent since the last look is the running hour's."""
        hour = int(self._now_s() // 3600)
        changed: set[tuple[int, str]] = set()
        for (engine, state), usd in self._spent():
            grown = usd - self._before.get((engine, state), 0.0)
            self._before[engine, state] = usd
            if grown > 0.0:
                cell = self._hours.setdefault((hour, engine), {BUSY: 0.0, IDLE: 0.0})
                cell[state] += grown
                changed.add((hour, engine))
        told = [
            GpuHour(at, engine, round(cell[BUSY] * 1e9), round(cell[IDLE] * 1e9))
            for (at, engine), cell in self._hours.items()
            if (at, engine) in changed
        ]
        self._hours = {key: cell for key, cell in self._hours.items() if key[0] == hour}
        return told

    async def _step(self) -> None:
        if not self._closed:
            self._tell()
            if self._shipping.kept:
                await self._shipping.step()

    def _tell(self) -> None:
        hours = self.look()
        if hours:
            self._shipping.take([msgspec.msgpack.encode(hours)], 1)

    async def close(self) -> None:
        """Tell what is left, for at most a few seconds."""
        self._closed = True
        self._tell()
        await self._shipping.close(self._close_s if self._shipping.kept else 0.0)
