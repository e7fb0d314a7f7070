"""One worker, or the control plane, as the writer process speaks to it: what it is told, and what it is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable
from pathlib import Path

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway import clock
from gateway.links.link import PipeLink
from gateway.process.supervisor import Supervisor
from gateway.store.contents.keeper import ContentKeeper
from gateway.store.contents.keeper import Item as ContentItem
from gateway.store.database.port import DatabaseAway, DatabaseRefused, why_of
from gateway.store.drift.keeper import DriftKeeper
from gateway.store.evaluations.evaluating import Evaluating
from gateway.store.evaluations.messages import UseEvaluators
from gateway.store.feedback.giving import Giving
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.feedback.table import give
from gateway.store.messages import (
    AskRead,
    AskSpent,
    AskState,
    Batch,
    Contents,
    FreezeDrift,
    FromWriter,
    GpuHour,
    GpuHours,
    NoteVersions,
    Read,
    Spent,
    State,
    Stored,
    ToWriter,
    UseControls,
)
from gateway.store.releases.listening import Listening
from gateway.store.releases.messages import ReleasesChanged, ReleasesSynced, SyncReleases
from gateway.store.releases.table import ReleaseTable
from gateway.store.reports.asked import QUESTIONS, answer
from gateway.store.reports.gpu_hours import note
from gateway.store.reports.requests import NotWanted
from gateway.store.reports.spent import spent
from gateway.store.scalings.keeping import kept
from gateway.store.scalings.messages import KeepScalings
from gateway.store.sending.spill import spilled_bytes
from gateway.store.writing.writer import Item, Writer

AGAIN_S = 1.0
FILES_S = 8.0
"""Less than the start waits for what keys have spent: some 200 MB of spilled records."""

log = structlog.get_logger()


class StoreClients:
    """Those that have a link to us."""

    def __init__(self) -> None:
        self._count = 0
        self.none = asyncio.Event()
        self.none.set()

    def came(self) -> None:
        self._count += 1
        self.none.clear()

    def left(self) -> None:
        self._count -= 1
        if not self._count:
            self.none.set()


class StoreClient:
    """One worker, or the control plane, as the writer speaks to it."""

    def __init__(
        self,
        writer: Writer,
        keeper: ContentKeeper,
        drift: DriftKeeper,
        evaluating: Evaluating,
        url: str,
        data_dir: Path,
        clients: StoreClients,
        supervisor: Supervisor,
    ) -> None:
        self._data_dir = data_dir
        self._writer = writer
        self._keeper = keeper
        self._drift = drift
        self._evaluating = evaluating
        self._url = url
        self._clients = clients
        self._supervisor = supervisor
        self._gone = False
        self._releases: ReleaseTable | None = None
        self._listening: Listening | None = None
        self._releasing = asyncio.Lock()
        self._giving = Giving(lambda given: give(url, given, keeper.redaction, keeper.retention_ms))
        self._loop = asyncio.get_running_loop()
        self._stored: deque[int] = deque()
        self.link: PipeLink[FromWriter] = PipeLink(ToWriter, self, supervisor.spawn)
        clients.came()

    def told(self, message: ToWriter) -> None:
        if isinstance(message, Batch):
            number = message.number
            self._writer.put(Item(message, lambda: self._confirm(number)))
        elif isinstance(message, Contents):
            number = message.number
            self._keeper.put(ContentItem(message, lambda: self._confirm(number)))
        elif isinstance(message, GpuHours):
            self._supervisor.spawn("gpu_hours", lambda: self._note_gpu(message))
        elif isinstance(message, UseEvaluators):
            self._evaluating.use(message.evaluators)
        elif isinstance(message, UseControls):
            self._drift.use_controls(message.controls, message.models)
        elif isinstance(message, NoteVersions):
            self._drift.note_versions(message.versions)

    def asked(self, message: ToWriter) -> Awaitable[FromWriter]:
        if isinstance(message, AskState):
            return self._state()
        if isinstance(message, AskSpent):
            return self._spent(message.now_s)
        if isinstance(message, AskRead):
            return self._read(message)
        if isinstance(message, SyncReleases):
            return self._sync_releases(message)
        if isinstance(message, FreezeDrift):
            return self._freeze(message)
        if isinstance(message, GiveFeedback):
            return self._give(message)
        if isinstance(message, KeepScalings):
            return kept(self._state, self._url, message)
        raise TypeError(f"{type(message).__name__} asks nothing")

    def link_lost(self) -> None:
        self._clients.left()
        self._gone = True
        if self._listening is not None:
            self._listening.end()
        if self._releases is not None:
            self._supervisor.spawn("releases", self._let_go)

    async def _note_gpu(self, message: GpuHours) -> None:
        """Until it is stored, or whoever told it is gone."""
        decode = msgspec.msgpack.Decoder(list[GpuHour]).decode
        try:
            hours = [hour for data in message.slices for hour in decode(data)]
        except (msgspec.MsgspecError, ValueError) as error:  # sent again, it would be the same
            log.error("gpu_hours_unreadable", run=message.run, number=message.number, why=type(error).__name__)
            hours = []
        while not self._gone:
            state = await self._state()
            if not (state.refused or state.away):
                try:
                    await asyncio.to_thread(note, self._url, message.run, hours)
                except (DatabaseAway, DatabaseRefused) as error:
                    log.error("gpu_hours_not_stored", why=str(error))
                else:
                    self.link.tell(Stored([message.number]))
                    return
            await asyncio.sleep(AGAIN_S)

    async def _state(self) -> State:
        await asyncio.to_thread(self._writer.opened.wait)
        state = self._writer.state()
        state.contents, state.evaluations = self._keeper.counts(), self._evaluating.counts()
        state.findings = self._evaluating.findings()
        return state

    async def _spent(self, now_s: float) -> Spent:
        state = await self._state()
        if state.refused or state.away:
            return Spent([], state.refused or state.away)
        try:
            with self._writer.courtesy.suspended():
                await self._read_files()
                return Spent(await asyncio.to_thread(spent, self._url, now_s))
        except (DatabaseRefused, SQLAlchemyError) as error:
            return Spent([], why_of(error))

    async def _sync_releases(self, message: SyncReleases) -> ReleasesSynced:
        state = await self._state()
        if state.refused or state.away:
            return ReleasesSynced(state.refused or state.away)
        try:
            if self._releasing.locked():  # who asked that gave up, and would have the same stored twice
                return ReleasesSynced("the store has not answered the question before")
            async with self._releasing:
                if self._gone:
                    return ReleasesSynced("who asked is gone")
                if self._releases is None:
                    self._releases = ReleaseTable(self._url)
                    if self._url.startswith("postgres"):
                        self._listening = Listening(self._url, self._releases_changed)
                return await asyncio.to_thread(self._releases.sync, message)
        except (DatabaseAway, DatabaseRefused) as error:
            return ReleasesSynced(str(error))

    async def _give(self, message: GiveFeedback) -> FeedbackGiven:
        state = await self._state()
        if state.refused or state.away:
            return FeedbackGiven("away", state.refused or state.away)
        try:
            with self._writer.courtesy.suspended():
                return await self._giving.give(message)
        except (DatabaseAway, DatabaseRefused) as error:
            return FeedbackGiven("away", str(error))

    async def _freeze(self, message: FreezeDrift) -> Read:
        done: asyncio.Future[str] = self._loop.create_future()

        def settle(problem: str) -> None:
            if not done.done():
                done.set_result(problem)

        def tell(problem: str) -> None:
            self._loop.call_soon_threadsafe(settle, problem)

        self._drift.freeze(message.model, message.key_id, tell)
        return Read(away=await done)

    def _releases_changed(self) -> None:
        """On the thread that listens."""
        self._loop.call_soon_threadsafe(self.link.tell, ReleasesChanged())

    async def _let_go(self) -> None:
        """Another gateway may decide over releases."""
        async with self._releasing:
            if self._releases is not None:
                await asyncio.to_thread(self._releases.close)

    async def _read_files(self) -> None:
        """Wait until what waits in files is in the database, for as long as whoever asks can."""
        until_s = clock.monotonic() + FILES_S
        while waiting := spilled_bytes(self._data_dir):
            if clock.monotonic() > until_s:
                what = "records that wait in files count for no budget yet"
                log.warning("spending_incomplete", bytes=waiting, what=what)
                return
            await asyncio.sleep(0.02)

    async def _read(self, question: AskRead) -> Read:
        state = await self._state()
        if state.refused or state.away:
            return Read(away=state.refused or state.away)
        if question.what == "drift":
            return Read(self._drift.report)
        words = QUESTIONS[question.what]
        try:
            with self._writer.courtesy.suspended():
                return Read(await asyncio.to_thread(answer, self._url, words(question.asked, question.now_s)))
        except NotWanted as error:
            return Read(wrong=str(error))
        except (DatabaseRefused, SQLAlchemyError) as error:
            return Read(away=why_of(error))

    def _confirm(self, number: int) -> None:
        """On the thread that has stored it. What a transaction stored is told together."""
        self._stored.append(number)
        if len(self._stored) == 1:
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        numbers = []
        with contextlib.suppress(IndexError):  # the writer's thread may append meanwhile
            while True:
                numbers.append(self._stored.popleft())
        if numbers:
            self.link.tell(Stored(numbers))
