"""The way of a worker's batches to the writer: each is kept until the writer has it for good.

Law: no request waits for the store. A few batches at a time are on their way; a writer that is gone is sent again what
it has not confirmed, once it is back. What has waited for `PATIENCE_S`, or is more than `SPILL_BYTES`, goes to a file,
which the writer reads later; with the disk full too, records are dropped beyond `HOLD_BYTES`, and counted. A batch that
comes twice is stored once, because records have ids.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from gateway import clock
from gateway.store.messages import Batch, Contents, FromWriter, GpuHours, Stored, ToWriter
from gateway.store.spill import Spill
from gateway.workers.link import PipeLink, Spawn

EVERY_S = 0.05
"""How long a record waits for others: with the worker's batch, what a kill may cost."""
WINDOW = 64
"""Batches on their way at once. All that is held, sent at once to a writer that came back, holds the loop for 2 ms."""
PATIENCE_S = 2.0
SPILL_BYTES = 4 * 1024 * 1024
STEP_BATCHES = 2
PAUSE_S = 0.002
HOLD_BYTES = 32 * 1024 * 1024
"""About 60,000 records."""

Parcel = Batch | Contents | GpuHours

log = structlog.get_logger()


class _Kept(NamedTuple):
    """A batch that the writer has not confirmed."""

    batch: Parcel
    size_bytes: int
    since_s: float


class Shipping:
    """Sends the batches of one worker. Belongs to the event loop; files are written in a thread."""

    def __init__(
        self,
        run: str,
        socket: str,
        data_dir: Path,
        spawn: Spawn,
        *,
        patience_s: float = PATIENCE_S,
        spill_bytes: int = SPILL_BYTES,
        hold_bytes: int = HOLD_BYTES,
        spill: Spill | None = None,
        sleep: Callable[[float], None] = time.sleep,
        kind: type[Parcel] = Batch,
        window: int = WINDOW,
        spills: bool = True,
    ) -> None:
        """`socket` is the path at which the writer listens; what it does not take goes to a file below `data_dir`.
        `kind` is what is sent; unless it `spills`, what the writer does not take waits in memory."""
        self._run = run
        self._socket = socket
        self._spawn = spawn
        self._patience_s = patience_s
        self._spill_bytes = spill_bytes
        self._hold_bytes = hold_bytes
        self._spill = spill or Spill(data_dir, run)
        self._sleep = sleep
        self._kind = kind
        self._window = window
        self._spills = spills
        self._spilling = False
        self._failing = False
        self._number = 0
        self._unsent: deque[_Kept] = deque()
        self._sent: dict[int, _Kept] = {}
        self._link: PipeLink[ToWriter] | None = None
        self._confirmed = False
        """Whether the writer has confirmed anything since something was spilled."""
        self.held_bytes = 0
        self.dropped = 0
        """Records that neither the writer nor a file took."""

    @property
    def kept(self) -> int:
        """Batches that the writer has not confirmed."""
        return len(self._sent) + len(self._unsent)

    def take(self, slices: list[bytes], count: int) -> None:
        """Send so many encoded records. Never blocks."""
        size_bytes = sum(map(len, slices))
        if self.held_bytes + size_bytes > self._hold_bytes:
            self.dropped += count
            return
        self._number += 1
        self._unsent.append(_Kept(self._kind(self._run, self._number, slices, count), size_bytes, clock.monotonic()))
        self.held_bytes += size_bytes
        if self._link is not None:
            self._send(self._link)

    async def step(self) -> None:
        """Connect if need be, and spill what has waited too long; run it each `EVERY_S`."""
        if self._link is None:
            await self._connect()
        if self._overdue():
            await self._write_down()
        elif self._spill.open and not self._spilling and (self._confirmed or not self.kept):
            await asyncio.to_thread(self._spill.close)

    async def close(self, timeout_s: float) -> None:
        """Wait until the writer has all, for at most `timeout_s`; the rest goes to a file."""
        until = clock.monotonic() + timeout_s
        while self.kept and clock.monotonic() < until:
            if self._link is None:
                await self._connect()
            await asyncio.sleep(0.01)
        if self.kept:
            if self._spills:
                await self._write_down()
            self.dropped += sum(kept.batch.count for kept in (*self._sent.values(), *self._unsent))
        self._spill.close()
        if self._link is not None:
            self._link.close()

    # -- gateway.workers.link.Peer -------------------------------------------------------------------------------------

    def told(self, message: FromWriter) -> None:
        if isinstance(message, Stored):
            for number in message.numbers:
                kept = self._sent.pop(number, None)
                if kept is not None:
                    self.held_bytes -= kept.size_bytes
                    self._confirmed = True
            if self._link is not None:
                self._send(self._link)

    async def asked(self, message: FromWriter) -> ToWriter:
        raise TypeError(f"{type(message).__name__} asks nothing")

    def link_lost(self) -> None:
        self._link = None
        self._unsent.extendleft(reversed(self._sent.values()))
        self._sent.clear()

    # -- the way -------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        link: PipeLink[ToWriter] = PipeLink(FromWriter, self, self._spawn)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: link, self._socket)
        except OSError:
            return  # there is nobody yet, or not any more: the next step tries again
        self._link = link
        self._send(link)

    def _send(self, link: PipeLink[ToWriter]) -> None:
        while self._unsent and len(self._sent) < self._window:
            kept = self._unsent.popleft()
            self._sent[kept.batch.number] = kept
            if not link.tell(kept.batch, bulk=True):
                return  # it is closing, and `link_lost` follows

    def _overdue(self) -> bool:
        if not self.kept or self._spilling or not self._spills:
            return False
        oldest = next(iter(self._sent.values())) if self._sent else self._unsent[0]
        return (
            clock.monotonic() - oldest.since_s > self._patience_s
            or sum(kept.size_bytes for kept in self._unsent) > self._spill_bytes
        )

    async def _write_down(self) -> None:
        """Put all that is kept into a file. What the writer confirms meanwhile, or had all along, is there twice."""
        taken = [*self._sent.values(), *self._unsent]
        self._spilling, self._confirmed = True, False
        try:
            await asyncio.to_thread(_append, self._spill, [kept.batch for kept in taken], self._sleep)
        except OSError as error:
            if not self._failing:
                self._failing = True
                log.error("records_not_spilled", why=error.strerror or str(error))
            return
        finally:
            self._spilling = False
        self._failing = False
        numbers = {kept.batch.number for kept in taken}
        self._unsent = deque(kept for kept in self._unsent if kept.batch.number not in numbers)
        for number in numbers:
            self._sent.pop(number, None)
        self.held_bytes = sum(kept.size_bytes for kept in (*self._sent.values(), *self._unsent))


def _append(spill: Spill, batches: list[Parcel], sleep: Callable[[float], None]) -> None:
    """In steps of some 100 us with a pause between: the loop has the same core, and the same interpreter lock."""
    encode = msgspec.msgpack.Encoder().encode
    for start in range(0, len(batches), STEP_BATCHES):
        spill.append([encode(batch) for batch in batches[start : start + STEP_BATCHES]])
        sleep(PAUSE_S)
