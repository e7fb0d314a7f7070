"""The contents of one worker on their way to the writer process: gathered, encoded a few at a time, sent by a link of
their own. Nothing of it runs before the first one comes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.store.messages import Contents
from gateway.store.sending.shipping import EVERY_S, Shipping
from gateway.telemetry.metrics.families.contents import CONTENTS_DROPPED

if TYPE_CHECKING:
    from gateway.process.supervisor import Supervisor
    from gateway.store.contents.content import Content
    from gateway.telemetry.metrics import Metrics

BATCH_BYTES: Final = 32 * 1024
"""Encoded and sent at once: it holds the loop for some 10 us."""
WINDOW: Final = 4
"""Batches on their way at once: one may be of 3 MiB, and the link takes 16."""
CLOSE_S: Final = 5.0


class Gatherer:
    """Takes contents (`gateway.relay.transcript.ContentSink`). Belongs to the event loop."""

    def __init__(
        self,
        run: str,
        socket: str,
        data_dir: Path,
        supervisor: Supervisor,
        metrics: Metrics,
        *,
        close_s: float = CLOSE_S,
    ) -> None:
        """`socket` is the path at which the writer listens."""
        self._supervisor = supervisor
        self._metrics = metrics
        self._shipping = Shipping(run, socket, data_dir, supervisor.spawn, kind=Contents, window=WINDOW, spills=False)
        self._encode = msgspec.msgpack.Encoder().encode
        self._contents: list[Content] = []
        self._bytes = 0
        self._close_s = close_s
        self._running = False
        self._closed = False
        self._unwritable = 0
        metrics.watch_count(CONTENTS_DROPPED, ("away",), lambda: self._shipping.dropped)
        metrics.watch_count(CONTENTS_DROPPED, ("unreadable",), lambda: self._unwritable)

    def take(self, content: Content) -> None:
        """Take one content, which does not change from now on."""
        self._contents.append(content)
        self._bytes += len(content.prompt) + len(content.answer) + len(content.document)
        if not self._running:
            self._running = True
            self._supervisor.loop("contents", self._step, EVERY_S)
        if self._bytes >= BATCH_BYTES:
            self.flush()

    def no_room(self) -> None:
        self._metrics.count(CONTENTS_DROPPED, "memory")

    def flush(self) -> None:
        """Hand on what is held. Never blocks."""
        contents, self._contents, self._bytes = self._contents, [], 0
        parts = []
        for content in contents:
            try:
                parts.append(msgspec.Raw(self._encode(content)))
            except UnicodeEncodeError:  # a lone surrogate in what an engine said
                self._unwritable += 1
        if parts:
            self._shipping.take([self._encode(parts)], len(parts))

    async def _step(self) -> None:
        if not self._closed:
            self.flush()
            await self._shipping.step()

    async def close(self) -> None:
        """Hand all on, for at most `close_s` seconds; what the writer does not take by then is dropped."""
        self._closed = True
        self.flush()
        await self._shipping.close(self._close_s if self._running else 0.0)
