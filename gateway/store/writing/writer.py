"""The writer: records from the links of all workers into the database, in the order they came.

A thread of its own writes, whatever has come meanwhile in one transaction. A batch is confirmed once it is committed.
While the database is away, batches go to a file at once, and are confirmed from there; when it is back, the files are
read first-in. With no room for files either, what has come is kept, and workers, who have only a few batches on their
way at once, keep the rest.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from gateway import clock
from gateway.store.database.port import Database, DatabaseAway, DatabaseRefused, Records
from gateway.store.messages import Batch, State
from gateway.store.sending.carried import arrived
from gateway.store.sending.settled import ended_runs
from gateway.store.sending.spill import Spill, next_spilled, set_aside, spilled_bytes
from gateway.store.writing.courtesy import Courtesy

ENOUGH_RECORDS = 1_000
"""For one transaction: more make nothing faster."""
GATHER_S = 0.1
"""How long a batch waits for that many: a transaction of a few records costs each of them several times as much. Its
worker keeps it until it is confirmed, so waiting risks nothing."""
SWEEP_S = 0.5
RETRY_S = 1.0
DAY_MS = 86_400_000
MOST_WAITING = 4_096
"""Batches, while the database hangs: more are not taken, and their workers put them into files."""
_UNREADABLE = (msgspec.MsgspecError, ValueError)

log = structlog.get_logger()


class Item(NamedTuple):
    """A batch that came, and who is told that it is stored."""

    batch: Batch
    stored: Callable[[], None]


class Writer:
    """Owns the database and the thread that writes to it. `put` and `state` may be called from any thread."""

    def __init__(
        self,
        open_database: Callable[[], Database],
        data_dir: Path,
        name: str,
        *,
        retention_days: int = 90,
        retry_s: float = RETRY_S,
        sweep_s: float = SWEEP_S,
        gather_s: float = GATHER_S,
        spill: Spill | None = None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """`open_database` raises DatabaseAway or DatabaseRefused; `name` is this process's alone. `failed` is called on
        the writer's thread if that ends by itself: nothing is stored from then on."""
        self._open_database = open_database
        self._data_dir = data_dir
        self._retention_ms = retention_days * DAY_MS
        self._retry_s = retry_s
        self._sweep_s = sweep_s
        self._gather_s = gather_s
        self._failed = failed
        self._spill = spill or Spill(data_dir, name)
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._decode_batch = msgspec.msgpack.Decoder(Batch).decode
        self._database: Database | None = None
        self._kept: list[Item] = []
        self._away = "not opened yet"
        self._told = ""
        self._refused = ""
        self._stored = 0
        self._lost = 0
        self._left_out = 0
        """Batches that could not be read and records that the database did not take."""
        self._retry_at_s = 0.0
        self._swept_at_s = 0.0
        self._ended: set[str] = set()
        """Runs that had ended at the last sweep."""
        self.opened = threading.Event()
        """Set once it is known whether the database can be used."""
        self.courtesy = Courtesy()
        self.idle = threading.Event()
        """Not set while records are written: who else writes to the database waits for it."""
        self.idle.set()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: Item) -> None:
        """Store a batch; its `stored` is called on the writer's thread, or never where too much waits."""
        if self._queue.qsize() < MOST_WAITING:
            self._queue.put(item)

    def state(self) -> State:
        return State(self._refused, self._away, self._stored, self._lost, spilled_bytes(self._data_dir))

    def close(self) -> None:
        """Store all that came, then end. Blocks."""
        with self.courtesy.suspended():
            self._queue.put(None)
            self._thread.join()

    # From here on: the thread.

    def _run(self) -> None:
        try:
            more = self._step()  # the gateway's start waits for it
            self.courtesy.begin()
            while more:
                more = self._step()
        except Exception:
            log.exception("writer_failed")
            self._failed()
        finally:
            self.courtesy.end()
            self.opened.set()

    def _step(self) -> bool:
        """Take what came and write it; returns False after the last."""
        items, last = self._take()
        self.idle.clear()
        try:
            self._act(items, last)
        finally:
            self.idle.set()
        return not last

    def _act(self, items: list[Item], last: bool) -> None:
        if self._database is None and not self._refused and (last or clock.monotonic() >= self._retry_at_s):
            self._open()
        if items or self._kept:
            self._write(items)
        if clock.monotonic() >= self._swept_at_s or last:
            self._swept_at_s = clock.monotonic() + self._sweep_s
            self._sweep(last)
        if last:
            self._end()

    def _take(self) -> tuple[list[Item], bool]:
        """What comes until it is enough, or the first has waited for `gather_s`; True with the last."""
        items: list[Item] = []
        count = 0
        until_s = clock.monotonic() + (self._sweep_s if self.opened.is_set() else 0.0)
        while count < ENOUGH_RECORDS:
            try:
                item = self._queue.get(timeout=max(0.0, until_s - clock.monotonic()))
            except queue.Empty:
                break
            if item is None:
                return items, True
            if not items:
                until_s = clock.monotonic() + self._gather_s
            items.append(item)
            count += item.batch.count
        return items, False

    def _write(self, items: list[Item]) -> None:
        items = [*self._kept, *items]
        self._kept = []
        if self._database is not None:
            try:
                self._stored += self._insert([item.batch for item in items])
            except DatabaseAway as error:
                self._lose(error)
            else:
                self._came_back()
                self._confirm(items)
                return
        try:
            self._spill.append([msgspec.msgpack.encode(item.batch) for item in items])
        except OSError as error:
            self._kept = items
            self._tell(f"{self._away}; spill file: {error.strerror or error}")
            return
        self._confirm(items)

    def _insert(self, batches: Sequence[Batch]) -> int:
        """Raises DatabaseAway. What the database cannot take for what it is, is left out and told."""
        assert self._database is not None
        read: list[Records] = []
        for batch in batches:
            try:
                read.append(Records(batch.run, [record for one in batch.slices for record in arrived(one)]))
            except _UNREADABLE as error:
                self._left_out += 1
                log.error("batch_unreadable", run=batch.run, number=batch.number, why=str(error))
        try:
            return self._database.insert(read)
        except DatabaseAway:
            raise
        except Exception:
            stored = 0
            for one in [Records(each.run, [record]) for each in read for record in each.records]:
                try:
                    stored += self._database.insert([one])
                except DatabaseAway:
                    raise
                except Exception:
                    self._left_out += 1
                    log.exception("record_refused", record=one.records[0].record_id)
            return stored

    def _confirm(self, items: list[Item]) -> None:
        for item in items:
            item.stored()

    def _open(self) -> None:
        try:
            self._database = self._open_database()
        except DatabaseAway as error:
            self._lose(error)
        except DatabaseRefused as error:
            self._refused = self._away = str(error)
            log.error("store_refused", why=self._refused)
        else:
            if not self._told:
                self._away = ""
        self.opened.set()

    def _came_back(self) -> None:
        """The database has taken something, or nothing waits for it: that it can be opened says little, as on a disk
        that is full."""
        if self._told:
            log.warning("store_back")
            self._away = self._told = ""

    def _lose(self, error: DatabaseAway) -> None:
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(Exception):
                database.close()
        self._away = str(error)
        self._retry_at_s = clock.monotonic() + self._retry_s
        self._tell(self._away)

    def _tell(self, why: str) -> None:
        if not self._told:
            log.error("store_away", why=why)
        self._told = why

    # -- what waits in files, and what has ended -----------------------------------------------------------------------

    def _sweep(self, last: bool) -> None:
        self.courtesy.waits(spilled_bytes(self._data_dir))
        if self._database is None:
            return
        try:
            self._spill.close()
            while (more := self._ingest_one()) and last:
                pass
            if more or not self._kept:
                self._came_back()
            if more:
                self._swept_at_s = 0.0  # the next file at once, after what has come meanwhile
                return
            self._count_ended(last)
            if self._database.expire(max(0, int(clock.wall() * 1e3) - self._retention_ms)):
                self._swept_at_s = 0.0
        except DatabaseAway as error:
            self._lose(error)

    def _ingest_one(self) -> bool:
        """Store a file's records and remove it; returns whether there was one. With anything in it that could not be
        stored it is set aside instead: another version may read it."""
        before = self._left_out
        with next_spilled(self._data_dir) as found:
            if found is None:
                return False
            path, frames = found
            some: list[Batch] = []
            for frame in frames:
                try:
                    some.append(self._decode_batch(frame))
                except _UNREADABLE:
                    self._left_out += 1
                if sum(batch.count for batch in some) >= ENOUGH_RECORDS:
                    self._stored += self._insert(some)
                    some = []
            if some:
                self._stored += self._insert(some)
            left_out = self._left_out - before
            if left_out or frames.damaged:
                kept_as = str(set_aside(path))
                log.error("spill_unreadable", left_out=left_out, damaged=frames.damaged, kept_as=kept_as)
            else:
                path.unlink()
        return True

    def _count_ended(self, last: bool) -> None:
        """Count what workers that are gone had settled and nobody has.

        What they sent before they ended may still be in a socket, so a run is counted at the second sweep that finds it
        ended, and nothing waiting.
        """
        assert self._database is not None
        with ended_runs(self._data_dir) as ended:
            before, self._ended = self._ended, {run.run for run in ended}
            if not last and not self._queue.empty():
                return
            for run in ended:
                if run.run not in before and not last:
                    continue
                lost = self._database.end_run(run.run, run.settled, int(clock.wall() * 1e3))
                if lost > 0:
                    self._lost += lost
                    log.error("records_lost", run=run.run, settled=run.settled, lost=lost)
                run.forget()

    def _end(self) -> None:
        if self._kept:
            log.error("records_not_stored", batches=len(self._kept))
        self._spill.close()
        if self._database is not None:
            self._database.close()
