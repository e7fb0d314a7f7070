"""The writer process, as the gateway's first process keeps it: started, watched, asked how it is, and ended last.

The socket at which it listens is ours, so workers that connect while it is being replaced wait in the queue of the
socket, and lose nothing. A writer that dies is replaced, after a back-off when it dies again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import structlog

from engines.turns import own_turn
from gateway.links.link import PipeLink
from gateway.links.questions import LinkError
from gateway.process.directory_lock import DirectoryLock
from gateway.process.own_group import OWN_GROUP
from gateway.process.supervisor import Supervisor
from gateway.store.contents.keeper import REASONS, STORED
from gateway.store.evaluations.evaluator import Evaluator
from gateway.store.evaluations.messages import EvaluatorFinding, UseEvaluators
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.messages import (
    AskRead,
    AskSpent,
    AskState,
    FreezeDrift,
    FromWriter,
    KeySpent,
    NoteVersions,
    Read,
    SeenVersion,
    Spent,
    Start,
    State,
    ToWriter,
    UseControls,
)
from gateway.store.releases.messages import ReleasesChanged, ReleasesSynced, SyncReleases
from gateway.store.scalings.messages import KeepScalings, ScalingsKept
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.contents import CONTENTS_DROPPED, CONTENTS_STORED
from gateway.telemetry.metrics.families.evaluations import EVALUATIONS
from gateway.telemetry.metrics.families.records import RECORDS_LOST, RECORDS_SPILLED, RECORDS_STORED, STORE_AWAY
from gateway.workers.processes import Backoff

COMMAND = (sys.executable, "-P", "-m", "gateway.store")
MAX_SOCKET_PATH = 100
"""The kernel's bound is 107 bytes."""
START_S = 10.0
END_S = 60.0
KILLED_S = 5.0
"""What it may take to write what is left, after the last worker has ended."""
ASK_S = 2.0
READ_S = 25.0
"""Less than a worker waits for the admin API."""
SPENT_S = 10.0
"""The start waits no longer for what keys had spent before it."""
BACKLOG = 512
VERSIONS_AT_ONCE = 1_000
"""Of replicas, in one message: some 100 KB."""

log = structlog.get_logger()


class StoreRefused(Exception):
    """The store may not be used by this gateway; the message is for the operator."""


class StoreProcess:
    """Keeps one writer."""

    def __init__(
        self,
        start: Start,
        supervisor: Supervisor,
        *,
        command: Sequence[str] = COMMAND,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        """Listens from now on. Raises OSError when the data directory cannot be written."""
        self._start = start
        self._supervisor = supervisor
        self._command = command
        self._backoff = backoff()
        self._ending = False
        self._process: asyncio.subprocess.Process | None = None
        self._ended = asyncio.Event()
        self._link: PipeLink[ToWriter] | None = None
        self.state = State(away="not asked yet")
        """As it was when it was last asked."""
        self._evaluators: list[Evaluator] = []
        self._controls = UseControls({})
        self.releases_changed: Callable[[], None] | None = None
        """Called when any gateway has stored a change of a release, of a store that tells."""
        self.versions: Callable[[], Iterable[SeenVersion]] = list
        """Which versions all replicas are, as far as they have said so."""
        self._untold: list[SeenVersion] = []
        """Those that the writer is to be told, the oldest first."""
        self._telling = False
        self.found: Callable[[list[EvaluatorFinding]], None] | None = None
        """Who hears of what evaluators find."""
        self._before = State()
        """What writers had counted that are gone."""
        Path(start.data_dir).mkdir(mode=0o750, parents=True, exist_ok=True)
        self.lock = DirectoryLock(Path(start.data_dir))
        """Whether `data_dir` is of this gateway, or it is the second there."""
        self.lock.take()
        self.path = _free_path(Path(start.data_dir))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(self.path)
            os.chmod(self.path, 0o600)  # noqa: PTH101
            self._socket.listen(BACKLOG)
        except OSError:
            self._socket.close()
            self.lock.release()
            raise

    @property
    def pid(self) -> int | None:
        """The writer's process id; None between two."""
        return self._process.pid if self._process is not None else None

    @property
    def data_dir(self) -> str:
        """Where the gateway may keep files."""
        return self._start.data_dir

    def watched_by(self, metrics: Metrics) -> None:
        """Show how the store is, as it was when it was last asked."""
        metrics.watch_count(RECORDS_STORED, (), lambda: self._before.stored + self.state.stored)
        metrics.watch_count(RECORDS_LOST, (), lambda: self._before.lost + self.state.lost)
        metrics.watch_count(CONTENTS_STORED, (), lambda: self._contents(STORED))
        for reason in REASONS:
            metrics.watch_count(CONTENTS_DROPPED, (reason,), functools.partial(self._contents, reason))
        metrics.watch_counts(EVALUATIONS, self._evaluations)
        metrics.watch(RECORDS_SPILLED, lambda: [((), float(self.state.spilled_bytes))])
        metrics.watch(STORE_AWAY, lambda: [((), float(bool(self.state.away)))])

    def _evaluations(self) -> list[tuple[tuple[str, ...], float]]:
        counted = Counter(self._before.evaluations) + Counter(self.state.evaluations)
        return [(tuple(what.rsplit("/", 1)), float(count)) for what, count in sorted(counted.items())]

    def _contents(self, what: str) -> int:
        return self._before.contents.get(what, 0) + self.state.contents.get(what, 0)

    async def start(self) -> None:
        """Start it, and wait until it is known whether the store can be used. Raises StoreRefused when it never can."""
        self._supervisor.spawn("store", self._keep)
        state = await self._ask(START_S)
        if state is not None and state.refused:
            raise StoreRefused(state.refused)
        self._supervisor.loop("store", self.look, 1.0, at_once=False)

    def evaluate(self, evaluators: list[Evaluator]) -> None:
        """These are all there are, from now on."""
        self._evaluators = evaluators
        if self._link is not None:
            self._link.tell(UseEvaluators(evaluators))

    def use_controls(self, controls: dict[str, str], models: list[str]) -> None:
        """These are the control arms of experiments, by model, and all models, from now on."""
        self._controls = UseControls(controls, models)
        if self._link is not None:
            self._link.tell(self._controls)

    def note_versions(self, versions: Iterable[SeenVersion]) -> None:
        """Replicas are these versions of their engines. What cannot be told now is when the writer is there."""
        if self._link is None:
            return
        self._untold += versions
        if self._untold and not self._telling:
            self._tell_versions()
            if self._untold:
                self._telling = True
                self._supervisor.spawn("versions", self._tell_the_rest)

    def _tell_versions(self) -> None:
        """The first of those that are not told yet."""
        part, self._untold = self._untold[:VERSIONS_AT_ONCE], self._untold[VERSIONS_AT_ONCE:]
        if part and self._link is not None:
            self._link.tell(NoteVersions(part))

    async def _tell_the_rest(self) -> None:
        """A part in each turn: all of 19,200 replicas at once take 5 ms. What is new meanwhile comes after them."""
        try:
            while self._untold:
                await own_turn()
                self._tell_versions()
        finally:
            self._telling = False

    async def look(self) -> None:
        """The step of the loop that asks it how it is."""
        await self._ask(ASK_S)

    async def spent(self, now_s: float) -> list[KeySpent]:
        """What keys have spent in the day and month of this Unix time; of a database that is away, nothing."""
        away = "the writer does not answer"
        if self._link is not None:
            try:
                told = await self._link.ask(AskSpent(now_s), Spent, timeout_s=SPENT_S)
            except (LinkError, TimeoutError):
                pass
            else:
                if not told.away:
                    return told.keys
                away = told.away
        log.warning("spending_unknown", why=away, what="what keys spent before the start counts for no budget")
        return []

    async def read(self, question: AskRead | FreezeDrift) -> Read:
        """What the store says to a query."""
        if self._link is None:
            return Read(away="its writer is being started")
        try:
            return await self._link.ask(question, Read, timeout_s=READ_S, bulk=True)
        except (LinkError, TimeoutError) as error:
            return Read(away=str(error))

    async def give(self, given: GiveFeedback) -> FeedbackGiven:
        """Keep feedback."""
        if self._link is None:
            return FeedbackGiven("away", "its writer is being started")
        try:
            return await self._link.ask(given, FeedbackGiven, timeout_s=READ_S, bulk=True)
        except (LinkError, TimeoutError) as error:
            return FeedbackGiven("away", str(error) or "its writer does not answer")

    async def sync_releases(self, question: SyncReleases) -> ReleasesSynced:
        """Store what changed of releases, and tell how they are; one that is `away` has stored nothing."""
        if self._link is None:
            return ReleasesSynced("its writer is being started")
        try:
            return await self._link.ask(question, ReleasesSynced, timeout_s=ASK_S, bulk=True)
        except (LinkError, TimeoutError) as error:
            return ReleasesSynced(str(error) or "its writer does not answer")

    async def keep_scalings(self, decided: KeepScalings) -> ScalingsKept:
        """Store decisions about replicas; one that is `away` may have stored them all the same."""
        if self._link is None:
            return ScalingsKept("its writer is being started")
        try:
            return await self._link.ask(decided, ScalingsKept, timeout_s=ASK_S, bulk=True)
        except (LinkError, TimeoutError) as error:
            return ScalingsKept(str(error) or "its writer does not answer")

    async def stop(self) -> None:
        """End it, once it has written what came."""
        self._ending = True
        process = self._process
        if process is not None and process.stdin is not None:
            if self._link is not None:
                self._link.close()
            process.stdin.close()
            try:
                async with asyncio.timeout(END_S):
                    await self._ended.wait()
            except TimeoutError:
                log.error("writer_hangs")
                process.kill()
                # A process that waits for a disk in the kernel dies once that answers, which may be never.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KILLED_S):
                        await self._ended.wait()
        self._socket.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(KILLED_S):
                await asyncio.to_thread(os.unlink, self.path)
        self.lock.release()

    async def _keep(self) -> None:
        """Run a writer, again and again, until the gateway stops."""
        loop = asyncio.get_running_loop()
        try:
            while not self._ending:
                began_s = loop.time()
                code = await self._run()
                if self._ending:
                    return
                wait_s = self._backoff.next_s(loop.time() - began_s)
                log.error("writer_died", code=code, again_in_s=wait_s)
                await asyncio.sleep(wait_s)
        finally:
            self._ended.set()

    async def _run(self) -> int | None:
        fd = self._socket.fileno()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(fd),
                pass_fds=(fd,),
                stdin=asyncio.subprocess.PIPE,
                env=dict(os.environ),
                preexec_fn=OWN_GROUP,
            )
        except OSError as error:
            log.error("writer_not_started", why=error.strerror or str(error))
            return None
        self._process = process
        try:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(self._start) + b"\n")
            return await process.wait()
        finally:
            self._process = None
            if self._link is not None:
                self._link.close()  # it may never have been accepted, and its questions would wait
            before, now = self._before, self.state
            contents = Counter(before.contents) + Counter(now.contents)
            evaluations = Counter(before.evaluations) + Counter(now.evaluations)
            stored, lost = before.stored + now.stored, before.lost + now.lost
            self._before = State(stored=stored, lost=lost, contents=contents, evaluations=evaluations)
            self.state = State(away="its writer is being started", spilled_bytes=now.spilled_bytes)

    async def _ask(self, timeout_s: float) -> State | None:
        link = self._link
        if link is None:
            link = PipeLink(FromWriter, self, self._supervisor.spawn)
            try:
                await asyncio.get_running_loop().create_unix_connection(lambda: link, self.path)
            except OSError:
                return None
            self._link = link
            link.tell(UseEvaluators(self._evaluators))
            link.tell(self._controls)
            self.note_versions(self.versions())
        try:
            self.state = await link.ask(AskState(), State, timeout_s=timeout_s)
        except (LinkError, TimeoutError):
            return None
        findings, self.state.findings = self.state.findings, []
        if findings and self.found is not None:
            self.found(findings)
        return self.state

    # -- gateway.links.link.Peer -------------------------------------------------------------------------------------

    def told(self, message: FromWriter) -> None:
        if isinstance(message, ReleasesChanged) and self.releases_changed is not None:
            self.releases_changed()

    async def asked(self, message: FromWriter) -> ToWriter:
        raise TypeError(f"{type(message).__name__} asks nothing")

    def link_lost(self) -> None:
        self._link = None
        self._untold = []  # another writer is told of all


def _free_path(data_dir: Path) -> str:
    """Where to listen: in the data directory, if its path is short enough for a socket."""
    name = f"store-{os.getpid()}.sock"
    path = str(data_dir.absolute() / name)
    if len(path.encode()) > MAX_SOCKET_PATH:
        path = str(Path(tempfile.mkdtemp(prefix="penstock-")) / name)
    for stale in (path, *map(str, data_dir.absolute().glob("store-*.sock"))):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(stale)
            except ConnectionRefusedError:  # of a gateway that was killed
                Path(stale).unlink()
    return path
