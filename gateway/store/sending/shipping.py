"""The way of a worker's batches to the writer: each is kept until the writer has it for good.

Law: no request waits for the store. What the writer takes slowly waits in its memory and here, up to `WINDOW_BYTES`;
one that is gone is sent again what it has not confirmed, once it is back. Beyond that, and what has waited `PATIENCE_S`
for one that is not there, goes to a file, which the writer reads later: that costs both sides more than waiting does.
With the disk full too, records are dropped beyond `HOLD_BYTES`, and counted. A batch that comes twice is stored once,
because records have ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from gateway import clock
from gateway.links.link import PipeLink, Spawn
from gateway.store.messages import Batch, Contents, FromWriter, GpuHours, Stored, ToWriter
from gateway.store.sending.spill import Spill

EVERY_S = 0.05
"""How long a record waits for others: with the worker's batch, what a kill may cost."""
WINDOW_BYTES = 20 * 1024 * 1024
"""On their way at once. A core that is busy with nothing but requests makes as much in some four seconds, and the
writer has none of it until then (`gateway.store.writing.courtesy`)."""
LINK_BYTES = 1024 * 1024
"""Of these in the link, unread: all that is held, sent at once to a writer that came back, would hold the loop."""
PATIENCE_S = 2.0
SILENCE_S = 60.0
"""A writer that is there and has not confirmed a batch for so long hangs, or had no room for it."""
SPILL_BYTES = 2 * 1024 * 1024
"""Beyond what is on its way."""
STEP_BATCHES = 2
PAUSE_S = 0.002
HOLD_BYTES = 32 * 1024 * 1024
"""About 90,000 records."""
FILE_S = 2.0
"""How long the end waits for a file to take what the writer did not: all that is held takes a disk .5 s."""

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
        silence_s: float = SILENCE_S,
        window_bytes: int = WINDOW_BYTES,
        spill_bytes: int = SPILL_BYTES,
        hold_bytes: int = HOLD_BYTES,
        file_s: float = FILE_S,
        spill: Spill | None = None,
        sleep: Callable[[float], None] = time.sleep,
        kind: type[Parcel] = Batch,
        window: int | None = None,
        spills: bool = True,
    ) -> None:
        """`socket` is the path at which the writer listens; what it does not take goes to a file below `data_dir`.
        `kind` is what is sent, no more than `window` of them at once; unless it `spills`, what the writer does not take
        waits in memory."""
        self._run = run
        self._socket = socket
        self._spawn = spawn
        self._patience_s = patience_s
        self._silence_s = silence_s
        self._window_bytes = window_bytes
        self._spill_bytes = spill_bytes
        self._hold_bytes = hold_bytes
        self._file_s = file_s
        self._spill = spill or Spill(data_dir, run)
        self._sleep = sleep
        self._kind = kind
        self._window = window
        self._spills = spills
        self._writing: list[_Kept] = []
        """What a thread is putting into a file."""
        self._failing = False
        self._number = 0
        self._unsent: deque[_Kept] = deque()
        self._sent: dict[int, _Kept] = {}
        self._sent_bytes = 0
        self._link: PipeLink[ToWriter] | None = None
        self._confirmed = False
        """Whether the writer has confirmed anything since something was spilled."""
        self.held_bytes = 0
        self.dropped = 0
        """Records that neither the writer nor a file took."""

    @property
    def kept(self) -> int:
        """Batches that the writer has not confirmed."""
        return len(self._sent) + len(self._unsent) + len(self._writing)

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
        else:
            self._send(self._link)
        await self._spill_if_due()
        if self._spill.open and not self._writing and (self._confirmed or not self.kept):
            await asyncio.to_thread(self._spill.close)

    async def close(self, timeout_s: float) -> None:
        """Wait until the writer has all, for at most `timeout_s`; the rest goes to a file, for at most `FILE_S`, and
        what no file has taken by then is counted as dropped."""
        until = clock.monotonic() + timeout_s
        while self.kept and clock.monotonic() < until:
            if self._link is None:
                await self._connect()
            else:
                self._send(self._link)
            await asyncio.sleep(0.01)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._file_s):
                await self._write_rest()
        self.dropped += sum(kept.batch.count for kept in (*self._writing, *self._sent.values(), *self._unsent))
        if self._link is not None:
            self._link.close()

    # -- gateway.links.link.Peer -------------------------------------------------------------------------------------

    def told(self, message: FromWriter) -> None:
        if isinstance(message, Stored):
            for number in message.numbers:
                kept = self._sent.pop(number, None)
                if kept is not None:
                    self.held_bytes -= kept.size_bytes
                    self._sent_bytes -= kept.size_bytes
                    self._confirmed = True
            if self._link is not None:
                self._send(self._link)

    async def asked(self, message: FromWriter) -> ToWriter:
        raise TypeError(f"{type(message).__name__} asks nothing")

    def link_lost(self) -> None:
        self._link = None
        self._unsent.extendleft(reversed(self._sent.values()))
        self._sent.clear()
        self._sent_bytes = 0

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
        window = self._window
        while (
            self._unsent
            and self._sent_bytes < self._window_bytes
            and (window is None or len(self._sent) < window)
            and link.unsent_bytes < LINK_BYTES
        ):
            kept = self._unsent.popleft()
            self._sent[kept.batch.number] = kept
            self._sent_bytes += kept.size_bytes
            if not link.tell(kept.batch, bulk=True):
                return  # it is closing, and `link_lost` follows

    async def _spill_if_due(self) -> None:
        if not self._spills or self._writing:
            return
        now_s = clock.monotonic()
        if self._sent and now_s - next(iter(self._sent.values())).since_s > self._silence_s:
            await self._write_down()
        elif self._unsent and (
            (self._link is None and now_s - self._unsent[0].since_s > self._patience_s)
            or self.held_bytes > self._window_bytes + self._spill_bytes
        ):
            await self._write_down(sent_too=False)

    async def _write_rest(self) -> None:
        """At the end: all that is kept, after what a thread is writing already."""
        while self._writing:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.01)
        if self.kept and self._spills:
            await self._write_down()
        if self._spill.open:
            await asyncio.to_thread(self._spill.close)

    async def _write_down(self, *, sent_too: bool = True) -> None:
        """Put what is kept into a file. What the writer had all along, or confirms later, is there twice."""
        sent = list(self._sent.values()) if sent_too else []
        if sent_too:
            self._sent.clear()
            self._sent_bytes = 0
        self._writing = [*sent, *self._unsent]
        self._unsent.clear()
        self._confirmed = False
        try:
            await asyncio.to_thread(_append, self._spill, [kept.batch for kept in self._writing], self._sleep)
        except (OSError, asyncio.CancelledError) as error:
            self._unsent.extendleft(reversed(self._writing))
            if isinstance(error, asyncio.CancelledError):  # at the end, of a disk that stands still
                raise
            if not self._failing:
                self._failing = True
                log.error("records_not_spilled", why=error.strerror or str(error))
        else:
            self._failing = False
            self.held_bytes -= sum(kept.size_bytes for kept in self._writing)
        finally:
            self._writing = []


def _append(spill: Spill, batches: list[Parcel], sleep: Callable[[float], None]) -> None:
    """In steps of some 100 us with a pause between: the loop has the same core, and the same interpreter lock."""
    encode = msgspec.msgpack.Encoder().encode
    for start in range(0, len(batches), STEP_BATCHES):
        spill.append([encode(batch) for batch in batches[start : start + STEP_BATCHES]])
        sleep(PAUSE_S)
