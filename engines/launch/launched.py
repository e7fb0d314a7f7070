"""One launched replica, kept running: started, gated on its health, restarted when it dies, stopped whole.

    STOPPED -> STARTING -> READY -> BACKOFF -> STARTING -> ...   and from any of them -> STOPPED
                   \\________________/    (died, or was not healthy in time)

Only READY may receive traffic; a replica that is being stopped is STOPPED before it gets its grace period. One that
fails is tried again for as long as it is wanted, ever more rarely: what stops it (no GPU memory, a missing package, a
full disk) is often put right by somebody while we wait. The first failure is also told to whoever waits in
`first_ready`, so that a command line can give up at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random
from typing import Literal, TypeVar

from engines.errors import EngineError, LaunchFailed
from engines.launch.child import Child
from engines.launch.child_log import ChildLog
from engines.port import Replica

DRAIN_S = 25
"""What requests in progress get to finish when a server is told to stop: servers that can be told so are."""
T = TypeVar("T")
Ends = Set[asyncio.Task[int] | asyncio.Task[Literal[True]]]
SECRET_SUFFIXES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")


class LaunchState(Enum):
    """Where a launched replica is in its life; the value is its name in metrics."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"


@dataclass(frozen=True, slots=True)
class Pace:
    """Every duration of a launched replica's life, in seconds."""

    start_timeout_s: float = 600.0  # a large model takes 2 to 7 minutes to its first answer
    first_poll_s: float = 0.1
    max_poll_s: float = 2.0
    probe_s: float = 5.0
    first_backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    stable_s: float = 300.0  # ready for this long, a replica's earlier failures are forgotten
    grace_s: float = 30.0  # longer than `DRAIN_S`, so that the child ends by itself
    trim_s: float = 60.0  # how often the log's size is looked at

    def backoff_s(self, failures: int, rng: Random) -> float:
        """The wait after `failures` earlier failures in a row: doubling, half of it random, so replicas spread."""
        full_s = min(self.max_backoff_s, self.first_backoff_s * 2.0 ** min(failures, 32))
        return full_s * (0.5 + rng.random() / 2)


async def _at_once() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all replicas of one launched engine share."""

    command: Callable[[int], Sequence[str]]
    """The argument vector of a server on the given loopback port. Never holds a secret: any user can read it."""
    env: Mapping[str, str] = field(repr=False)
    """The child's whole environment; secrets go here."""
    log_dir: Path
    probe: Callable[[str], Awaitable[bool]]
    """Whether the server at a URL is healthy; may raise EngineError or OSError for no."""
    on_change: Callable[[Replica, LaunchState, str], None]
    """Told of each change, with the operator's explanation for BACKOFF. Must not raise.

    The URL of a replica is valid from STARTING to BACKOFF; it changes only if its port was taken meanwhile.
    """
    rng: Random
    pace: Pace = Pace()
    explain: Callable[[str], str] = lambda _tail: ""
    """One sentence for a failure it recognises in the log's last lines, else empty."""
    turn: Callable[[], Awaitable[None]] = _at_once
    """Waited for before each part of a start that takes a good part of a millisecond: replicas that are to start
    together would otherwise hold the loop for all of their starts."""


class LaunchedReplica:
    """The life of one replica. `run` is the background work; `stop` ends it."""

    def __init__(self, replica_id: str, recipe: Recipe, taken_ports: Callable[[], set[int]] = set) -> None:
        self.id = replica_id
        self.port = 0
        self.state = LaunchState.STOPPED
        self._recipe = recipe
        self._taken_ports = taken_ports
        self._log = ChildLog(recipe.log_dir / f"{replica_id}.log")
        self._begun = False
        self._reserved: socket.socket | None = None
        """Keeps its port from all others between its choice and the server's bind, which may be minutes."""
        self._starts = 0
        self._life = ""
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._settled = asyncio.Event()
        self._first_failure: str | None = None
        self.failures = 0
        """Starts that have failed since it was ready."""
        self.again_s = 0.0
        """How long it waits, or waited, before the next."""

    @property
    def replica(self) -> Replica:
        return Replica(self.id, f"http://127.0.0.1:{self.port}", life=self._life)

    async def first_ready(self) -> None:
        """Wait for the first start to succeed or fail. Raises LaunchFailed with a message for the operator."""
        await self._settled.wait()
        if self._first_failure is not None:
            raise LaunchFailed(self._first_failure)

    async def stop(self) -> None:
        """Stop the child (SIGTERM, the grace period, SIGKILL) and wait until it has gone."""
        self._stopping.set()
        if self._begun:
            await self._ended.wait()
        self._settle("it was stopped before it was ready")

    async def run(self) -> None:
        """Keep the replica running until `stop`; when cancelled, its processes are stopped all the same."""
        self._begun = True
        pace, failures = self._recipe.pace, 0
        try:
            while not self._stopping.is_set():
                ready_s, reason = await self._live()
                if self._stopping.is_set():
                    break
                failures = 0 if ready_s >= pace.stable_s else failures
                self._settle(reason)
                self.failures += 1
                self._become(LaunchState.BACKOFF, reason)
                self.again_s = pace.backoff_s(failures, self._recipe.rng)
                await self._pause(self.again_s)
                failures += 1
        finally:
            self._give_back()
            self._become(LaunchState.STOPPED)
            self._ended.set()

    async def _live(self) -> tuple[float, str]:
        """One start to its end: for how long it was ready, and why it ended."""
        child = await self._start()
        if isinstance(child, str):
            return 0.0, child
        ready_s: float | None = None
        code: int | None = None
        try:
            async with asyncio.TaskGroup() as group:
                exited = group.create_task(child.wait())
                stopping = group.create_task(self._stopping.wait())
                ready_s = await self._serve({exited, stopping})
                if exited.done():
                    code = exited.result()
                exited.cancel()
                stopping.cancel()
        finally:
            if self.state is LaunchState.READY and code is None:  # no traffic while it uses its grace period
                self._become(LaunchState.STOPPED)
            await child.stop(self._recipe.pace.grace_s)
        return ready_s or 0.0, await self._reason(ready_s is not None, code)

    async def _serve(self, ends: Ends) -> float | None:
        """Gate a child on its health, then watch it until one of `ends`: for how long it was ready, None for never."""
        if not await self._until_ready(ends):
            return None
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        self._settle(None)
        self.failures = 0
        self._become(LaunchState.READY)
        while not await _first_of(ends, self._recipe.pace.trim_s):
            with contextlib.suppress(OSError):  # a full disk is no reason to stop a server that answers
                await self._on_disk(self._log.trim, sooner=ends)
        return loop.time() - since_s

    async def _start(self) -> Child | str:
        """The running child, or why there is none (no descriptors, no memory, an unwritable log directory)."""
        try:
            await self._recipe.turn()
            if self._reserved is None or not _bindable(self.port):
                self._give_back()
                self._reserved, self.port = _reserve(self._taken_ports())
            self._become(LaunchState.STARTING)
            command = self._recipe.command(self.port)
            output = await self._on_disk(self._log.begin, late=os.close)
            if output is None:
                return f"{self.id} was stopped"
            try:
                await self._recipe.turn()
            except BaseException:
                os.close(output)
                raise
            if self._stopping.is_set():
                os.close(output)
                return f"{self.id} was stopped"
            child = await Child.start(command, self._recipe.env, output)
            self._starts += 1
            self._life = f"{child.pid}.{self._starts}"  # process ids are given again
            return child
        except (OSError, RuntimeError) as error:  # the latter where no thread can be started
            return f"{self.id} could not be started: {error}"

    async def _until_ready(self, ends: Ends) -> bool:
        """Poll the health of a starting child until it answers, ends, is to be stopped or runs out of time."""
        loop, pace = asyncio.get_running_loop(), self._recipe.pace
        deadline_s = loop.time() + pace.start_timeout_s
        poll_s = pace.first_poll_s
        while (left_s := deadline_s - loop.time()) > 0:
            if await _first_of(ends, min(poll_s, left_s)):
                return False
            if await self._healthy():
                # A child that has just ended did not answer: somebody else listens on its port.
                return not await _first_of(ends, 0)
            poll_s = min(poll_s * 1.5, pace.max_poll_s)
        return False

    async def _healthy(self) -> bool:
        try:
            async with asyncio.timeout(self._recipe.pace.probe_s):
                return await self._recipe.probe(self.replica.url)
        except (EngineError, OSError):  # TimeoutError is an OSError
            return False

    async def _pause(self, duration_s: float) -> None:
        try:
            async with asyncio.timeout(duration_s):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _reason(self, ready: bool, code: int | None) -> str:
        """The operator's message for a life that ended by itself."""
        tail = await self._on_disk(self._log.tail) or ""
        if not ready and (explained := self._recipe.explain(tail)):
            return explained
        if code is None:
            what = f"was not healthy within {self._recipe.pace.start_timeout_s:g} s and was stopped"
        else:
            how = f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
            what = how if ready else f"{how} before it was ready"
        for name, value in self._recipe.env.items():
            if name.endswith(SECRET_SUFFIXES) and value:
                tail = tail.replace(value, "***")
        return f"{self.id} {what}; its log {self._log.path} ends with:\n{tail or '(nothing)'}"

    async def _on_disk(
        self, work: Callable[[], T], *, sooner: Ends = frozenset(), late: Callable[[T], object] = lambda _: None
    ) -> T | None:
        """What `work` returns, which a thread does: a disk that stands still holds no loop. None once one of `sooner`
        has come, or the replica is to stop, which waits for no disk either; what `work` returns after that goes to
        `late`. Raises what it raises.
        """
        doing = asyncio.ensure_future(asyncio.to_thread(work))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({doing, stopping, *sooner}, return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            stopping.cancel()
            if not doing.done():
                doing.add_done_callback(functools.partial(_came_late, late))

    def _give_back(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _settle(self, failure: str | None) -> None:
        if not self._settled.is_set():
            self._first_failure = failure
            self._settled.set()

    def _become(self, state: LaunchState, reason: str = "") -> None:
        if state is not self.state:
            self.state = state
            self._recipe.on_change(self.replica, state, reason)


def _came_late(late: Callable[[T], object], done: asyncio.Task[T]) -> None:
    if not done.cancelled() and done.exception() is None:
        late(done.result())


async def _first_of(ends: Ends, timeout_s: float) -> bool:
    """Whether one of `ends` came within the time."""
    done, _ = await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT does not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(taken: set[int]) -> tuple[socket.socket, int]:
    """A loopback port that nobody has, and the socket that keeps it so.

    Two servers that were given one port would both seem to be healthy, and one be asked for the other's model. A socket
    that is bound and does not listen keeps the port from whoever asks the kernel for any, and on Linux lets a server
    bind it that sets SO_REUSEADDR, as vLLM's and all of asyncio do. Elsewhere it keeps nothing: it is closed at once.
    """
    while True:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(("127.0.0.1", 0))
        except OSError:
            held.close()
            raise
        port: int = held.getsockname()[1]
        if port not in taken:
            if sys.platform != "linux":
                held.close()
            return held, port
        held.close()
