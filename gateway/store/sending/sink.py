"""The store as one worker sees it: where its records go, and the loop that sends them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.store.sending.recorder import Recorder
from gateway.store.sending.settled import Settled
from gateway.store.sending.shipping import EVERY_S, Shipping
from gateway.telemetry.metrics.families.records import RECORDS_DROPPED

if TYPE_CHECKING:
    from gateway.process.supervisor import Supervisor
    from gateway.telemetry.metrics import Metrics

CLOSE_S = 5.0
LET_GO_S = 1.0


class StoreSink:
    """Open for the life of the worker; its `recorder` takes the records."""

    def __init__(self, run: str, socket: str, data_dir: Path, supervisor: Supervisor, metrics: Metrics) -> None:
        """Raises ValueError when the data directory cannot be written."""
        try:
            self._settled = Settled(data_dir, run)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ValueError(f"data_dir: {data_dir} cannot be written: {reason}") from None
        self._shipping = shipping = Shipping(run, socket, data_dir, supervisor.spawn)
        self.recorder = recorder = Recorder(self._settled.count, shipping.take)
        metrics.watch_count(RECORDS_DROPPED, ("store",), lambda: recorder.unwritable + shipping.dropped)
        self._closed = False
        supervisor.loop("records", self._step, EVERY_S)

    async def _step(self) -> None:
        if not self._closed:
            self.recorder.flush()
            await self._shipping.step()

    async def close(self) -> None:
        """Hand all on, for at most `CLOSE_S`; what the writer does not take by then goes to a file. A disk that stands
        still holds it for some seconds, and no longer."""
        self._closed = True
        self.recorder.flush()
        await self._shipping.close(CLOSE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LET_GO_S):
                await asyncio.to_thread(self._settled.close)
