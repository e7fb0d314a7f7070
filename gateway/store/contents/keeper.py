"""The keeper of contents, in the writer process: what comes from the links of all workers is redacted and stored.

A thread of its own, with a connection of its own, because a hook may take its time and records must not wait for it.
While the database is away, what was redacted goes to a file, and is confirmed from there; when it is back, the files
are read. What finds no room on the disk either is dropped, and counted.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog

from gateway import clock
from gateway.store.contents.content import Content, ContentRecord, record_of
from gateway.store.contents.redaction import REDACTION, WITHHELD, Redaction
from gateway.store.database.port import DatabaseAway, DatabaseRefused
from gateway.store.messages import Contents
from gateway.store.sending.spill import Spill, next_spilled
from gateway.store.writing.courtesy import Courtesy

SWEEP_S: Final = 0.5
PAUSE_S: Final = 0.02
"""Between two transactions that let go of what is old: the writer of records gets its turn."""
EXPIRE_S: Final = 600.0
RETRY_S: Final = 1.0
MOST_AT_ONCE: Final = 16
"""Batches in one transaction."""
MOST_WAITING: Final = 256
"""Batches, while a hook hangs: more are dropped."""
STORED: Final = "stored"
UNREADABLE: Final = "unreadable"
MEMORY: Final = "memory"
DISK: Final = "disk"
REASONS: Final = (REDACTION, WITHHELD, UNREADABLE, MEMORY, DISK)
"""Why contents were dropped."""
_DAY_MS: Final = 86_400_000
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError)

log = structlog.get_logger()


class Table(Protocol):
    """Where contents are kept: `gateway.store.contents.table.ContentTable`."""

    def insert(self, records: list[ContentRecord]) -> int: ...
    def expire(self, before_ms: int) -> bool: ...
    def rest(self) -> None: ...
    def close(self) -> None: ...


class Item(NamedTuple):
    """A batch that came, and who is told that it is kept, or dropped for good."""

    batch: Contents
    stored: Callable[[], None]


class ContentKeeper:
    """Owns the table and the thread that writes to it. `put` and `counts` may be called from any thread."""

    def __init__(
        self,
        open_table: Callable[[], Table],
        data_dir: Path,
        name: str,
        *,
        retention_days: int = 30,
        retry_s: float = RETRY_S,
        sweep_s: float = SWEEP_S,
        spill: Spill | None = None,
        courtesy: Courtesy | None = None,
        after_records: Callable[[], object] = lambda: None,
        failed: Callable[[], None] = lambda: None,
        evaluate: Callable[[Content, ContentRecord], None] = lambda _content, _record: None,
    ) -> None:
        """`open_table` raises DatabaseAway or DatabaseRefused; `name` is this process's alone. `courtesy` is the one of
        the writer of records, who must not wait for a keeper that stands back, and `after_records` returns when that
        one does not write: of the two, the keeper waits before each transaction. `evaluate` is given each content and
        what of it may be seen. `failed` is called on the keeper's
        thread if that ends by itself: nothing is kept from then on."""
        self._open_table = open_table
        self._directory = data_dir / "contents"
        self.retention_ms: Final = retention_days * _DAY_MS
        """For how long contents are kept, from when their request came."""
        self._retry_s = retry_s
        self._sweep_s = sweep_s
        self._spill = spill or Spill(self._directory, name)
        self._courtesy = courtesy or Courtesy()
        self._after_records = after_records
        self._failed = failed
        self._evaluate = evaluate
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._decode = msgspec.msgpack.Decoder(list[Content]).decode
        self._decode_kept = msgspec.msgpack.Decoder(list[ContentRecord]).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self.redaction: Final = Redaction()
        self._table: Table | None = None
        self._told = False
        self._retry_at_s = 0.0
        self._swept_at_s = 0.0
        self._expire_at_s = 0.0
        self._counting = threading.Lock()
        self._counted: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, name="contents", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: Item) -> None:
        """Keep a batch; its `stored` is called on the keeper's thread, or at once where too much waits, and it is
        dropped."""
        if self._queue.qsize() < MOST_WAITING:
            self._queue.put(item)
        else:
            self._count(MEMORY, item.batch.count)
            item.stored()

    def counts(self) -> dict[str, int]:
        """How many contents were stored, and how many were dropped, by the reason."""
        with self._counting:
            return dict(self._counted)

    def close(self) -> None:
        """Keep all that came, then end. Blocks."""
        with self._courtesy.suspended():
            self._queue.put(None)
            self._thread.join()

    def _count(self, what: str, count: int) -> None:
        if count:
            with self._counting:
                self._counted[what] += count

    # From here on: the thread.

    def _run(self) -> None:
        self._courtesy.begin()
        try:
            while self._step():
                pass
        except BaseException:
            log.exception("keeper_failed")
            self._failed()
        finally:
            self._courtesy.end()

    def _step(self) -> bool:
        """Take what came and keep it; returns False after the last."""
        items, last = self._take()
        for item in items:
            self._settle(item)
        if clock.monotonic() >= self._swept_at_s or last:
            self._swept_at_s = clock.monotonic() + self._sweep_s
            try:
                self._sweep(last)
            except Exception:
                log.exception("contents_not_swept")
        if last:
            self._spill.close()
            if self._table is not None:
                self._table.close()
        return not last

    def _settle(self, item: Item) -> None:
        """Keep what may be kept of a batch, and confirm it whatever becomes of it: none comes twice for its fault."""
        try:
            records = self._redacted(item.batch)
            try:
                self._keep(records)
            except Exception as error:
                self._count(UNREADABLE, len(records))
                log.error("contents_not_kept", batch=item.batch.number, why=type(error).__name__)
        finally:
            item.stored()

    def _take(self) -> tuple[list[Item], bool]:
        items: list[Item] = []
        try:
            item = self._queue.get(timeout=max(0.0, self._swept_at_s - clock.monotonic()))
            while item is not None:
                items.append(item)
                if len(items) >= MOST_AT_ONCE:
                    return items, False
                item = self._queue.get_nowait()
        except queue.Empty:
            return items, False
        return items, True

    def _redacted(self, batch: Contents) -> list[ContentRecord]:
        """What may be kept of a batch."""
        kept: list[ContentRecord] = []
        settled = 0
        try:
            for one in batch.slices:
                for content in self._decode(one):
                    made = self._made(content)
                    settled += 1
                    if isinstance(made, str):
                        if content.keeps or content.pair:  # of a sample for drift nobody misses one
                            self._count(made, 1)
                        continue
                    self._evaluate(content, made)
                    if content.keeps:
                        kept.append(made)
        except _UNREADABLE as error:
            log.error("contents_unreadable", run=batch.run, number=batch.number, why=type(error).__name__)
            self._count(UNREADABLE, batch.count - settled)
        return kept

    def _made(self, content: Content) -> ContentRecord | str:
        """What may be kept of one content; else why it is dropped."""
        try:
            record = record_of(content)
        except Exception as error:
            log.error("content_unreadable", record=content.record_id, why=type(error).__name__)
            return UNREADABLE
        return self.redaction.apply(content.redact, record)

    def _keep(self, records: list[ContentRecord]) -> None:
        if not records:
            return
        if self._opened():
            try:
                self._store(records)
            except DatabaseAway as error:
                self._lose(error)
            else:
                return
        try:
            self._spill.append([self._encode(records)])
        except OSError as error:
            self._count(DISK, len(records))
            log.error("contents_not_spilled", why=error.strerror or str(error))

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """In which a transaction may run: records wait for one of them at most, which nothing else holds up."""
        self._after_records()
        with self._courtesy.holding():
            yield

    def _store(self, records: list[ContentRecord]) -> None:
        assert self._table is not None
        with self._turn():
            stored = self._table.insert(records)
        self._count(STORED, stored)

    def _opened(self) -> bool:
        if self._table is None and clock.monotonic() >= self._retry_at_s:
            try:
                with self._turn():
                    self._table = self._open_table()
            except (DatabaseAway, DatabaseRefused) as error:
                self._lose(error)
            else:
                self._told = False
        return self._table is not None

    def _lose(self, error: Exception) -> None:
        table, self._table = self._table, None
        if table is not None:
            with contextlib.suppress(Exception):
                table.close()
        self._retry_at_s = clock.monotonic() + self._retry_s
        if not self._told:
            self._told = True
            log.error("contents_away", why=str(error))

    def _sweep(self, last: bool) -> None:
        """Read what waits in files, one at a time, and let go of what is too old, a little at a time."""
        if not self._opened():
            return
        self._spill.close()
        try:
            while (more := self._ingest_one()) and last:
                pass
            if more:
                self._swept_at_s = 0.0  # the next file at once, after what has come meanwhile
            elif not last and clock.monotonic() >= self._expire_at_s:
                self._expire()
        except DatabaseAway as error:
            self._lose(error)

    def _ingest_one(self) -> bool:
        """Store a file's contents and remove it; returns whether there was one."""
        with next_spilled(self._directory) as found:
            if found is None:
                return False
            path, frames = found
            for frame in frames:
                self._ingest(frame, path)
            path.unlink()
        return True

    def _expire(self) -> None:
        assert self._table is not None
        with self._turn():
            more = self._table.expire(max(0, int(clock.wall() * 1e3) - self.retention_ms))
        if more:
            self._swept_at_s = clock.monotonic() + PAUSE_S
        else:
            self._expire_at_s = clock.monotonic() + EXPIRE_S
            self._table.rest()

    def _ingest(self, frame: bytes, path: Path) -> None:
        try:
            records = self._decode_kept(frame)
        except _UNREADABLE as error:
            log.error("contents_unreadable", file=path.name, why=type(error).__name__)
            return
        self._store(records)
