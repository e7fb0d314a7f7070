"""The keeper of drift, in the writer process: sums up each hour once it is over, and judges it.

A thread of its own that stands behind all others: an hour later is soon enough. What it judges with follows from what
is stored, so after a restart it reads that again, and several gateways of one store come to the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from gateway import clock
from gateway.store.database.port import DatabaseAway, DatabaseRefused
from gateway.store.drift.judged import FORGOTTEN_HOURS, Judged
from gateway.store.drift.reading import Reading
from gateway.store.drift.report import document
from gateway.store.drift.table import DriftTable
from gateway.store.drift.versions import Place
from gateway.store.messages import SeenVersion
from gateway.store.writing.courtesy import Courtesy

GRACE_S: Final = 300.0
"""After an hour's end its last records may still be on their way."""
LOOK_S: Final = 20.0
BACKFILL_HOURS: Final = 2 * 168
"""Of records that were there before: so many hours are summed up, the oldest first."""
HOUR_S: Final = 3600

log = structlog.get_logger()


class DriftKeeper:
    """Owns the thread. `report`, `freeze` and `close` may be called from any."""

    def __init__(
        self,
        open_table: Callable[[], DriftTable],
        *,
        courtesy: Courtesy | None = None,
        after_records: Callable[[], object] = lambda: None,
        wall: Callable[[], float] = clock.wall,
        look_s: float = LOOK_S,
    ) -> None:
        """`open_table` raises DatabaseRefused; `after_records` returns when the writer of records does not write."""
        self._open_table = open_table
        self._courtesy = courtesy or Courtesy()
        self._after_records = after_records
        self._wall = wall
        self._look_s = look_s
        self._controls: Mapping[str, str] = {}
        self._wanted_controls: Mapping[str, str] = {}
        self._models: Sequence[str] = ()
        self._configured = threading.Event()
        """Set once it is known which models there are, without which an hour would be summed up by other names."""
        self._judged = Judged()
        self._table: DriftTable | None = None
        self._told = False
        self._stale = False
        """Whether there is more to report than is reported."""
        self._report = document(self._judged)
        self._asked: list[tuple[str, str, Callable[[str], None]]] = []
        self.reading: Final = Reading()
        """Of a sample of answers."""
        self._versions: deque[SeenVersion] = deque()
        """To be kept."""
        self._replicas: set[Place] = set()
        """Those that there are, of which anything was told."""
        self._woken = threading.Event()
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def report(self) -> bytes:
        """JSON, as it was after the last hour."""
        return self._report

    def freeze(self, model: str, key_id: str, done: Callable[[str], None]) -> None:
        """From this hour on, compare the model with the week before it; `done` is called on the keeper's thread, with
        why that is not so, or nothing."""
        self._asked.append((model, key_id, done))
        self._woken.set()

    def use_controls(self, controls: Mapping[str, str], models: Sequence[str]) -> None:
        """These are the control arms of experiments from now on, by model, by which all that is kept is judged; and all
        models, by which hours are summed up."""
        self._wanted_controls, self._models = controls, models
        self._configured.set()
        self._woken.set()

    def note_versions(self, versions: Iterable[SeenVersion]) -> None:
        """Replicas are these versions of their engines, or have gone."""
        self._versions.extend(versions)
        self._woken.set()

    def close(self) -> None:
        """End, within a step. Blocks."""
        self._ends = True
        self._configured.set()
        self._woken.set()
        with self._courtesy.suspended():
            self._thread.join()

    # From here on: the thread.

    def _run(self) -> None:
        self._configured.wait()
        self._courtesy.begin()
        try:
            while not self._ends:
                again = self.step()
                self._woken.wait(0.0 if again else self._look_s)
                self._woken.clear()
        finally:
            if self._table is not None:
                with contextlib.suppress(DatabaseAway):
                    self._keep_marks(self._table)  # of what was read last
                self._table.close()
            self._courtesy.end()

    def step(self) -> bool:
        """Freeze what is asked for, sum up an hour, judge what is new; returns whether there is more to do at once."""
        try:
            if self._table is None:
                self._table = self._open_table()
            more = self._work(self._table)
        except (DatabaseAway, DatabaseRefused) as error:
            self._say("drift_away", str(error))
            for _, _, done in self._taken():
                done(str(error))
            return False
        except Exception as error:
            log.exception("drift_failed")
            for _, _, done in self._taken():
                done(type(error).__name__)
            return False
        self._told = False
        return more

    def _work(self, table: DriftTable) -> bool:
        now_hour = int(self._wall() // HOUR_S)
        for model, key_id, done in self._taken():
            with self._courtesy.holding():
                table.freeze(model, now_hour, key_id)
            done("")
        self._keep_versions(table)
        self._keep_marks(table)
        due = table.next_hour(now_hour - BACKFILL_HOURS)
        summed = due is not None and (due + 1) * HOUR_S + GRACE_S <= self._wall()
        if due is not None and summed:
            rows = table.summed(due, self._models)
            self._after_records()
            with self._courtesy.holding():
                table.store(rows, due - FORGOTTEN_HOURS, self._replicas)
        if self._wanted_controls != self._controls:
            self._controls = self._wanted_controls
            self._judged = Judged(self._controls)
        more = self._judge(table) or summed
        if self._stale and not more:
            self._report, self._stale = document(self._judged), False
        return more

    def _keep_versions(self, table: DriftTable) -> None:
        seen = [self._versions[at] for at in range(len(self._versions))]
        if not seen:
            return
        said = [one for one in seen if one.version]
        if said:
            self._after_records()
            with self._courtesy.holding():
                table.note_versions(said)
        for one in seen:  # in their order: what has gone may be back
            (self._replicas.add if one.version else self._replicas.discard)((one.engine, one.replica))
        for _ in seen:  # not before they are kept
            self._versions.popleft()

    def _keep_marks(self, table: DriftTable) -> None:
        while marks := self.reading.given():
            self._after_records()
            with self._courtesy.holding():
                table.mark(marks)
            self.reading.kept(marks)

    def _judge(self, table: DriftTable) -> bool:
        """Returns whether there was anything."""
        hours, frozen = table.hours(self._judged.last_hour)
        for model, hour in frozen.items():
            self._judged.freeze(model, hour)
        recent = int(self._wall() // HOUR_S) - 2
        for hour, summaries in hours:
            for key, alarm in self._judged.hour(hour, summaries):
                if hour >= recent:  # what is older was told when it was new
                    model, arm, route = key
                    fields = {"model": model, "arm": arm, "route": route, "signal": alarm.signal}
                    log.warning("drift", **fields, why=alarm.sentence)
            self._stale = True
        return bool(hours)

    def _taken(self) -> list[tuple[str, str, Callable[[str], None]]]:
        taken, self._asked = self._asked, []
        return taken

    def _say(self, event: str, why: str) -> None:
        if not self._told:
            self._told = True
            log.error(event, why=why)
