"""The control plane: configuration, launched engines, health and merged metrics, for one worker or many.

It never touches a request. It speaks to its workers by messages only, so one process and many run the same code. A
configuration is read, checked and built here before any worker hears of it: a bad file changes nothing, anywhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from engines.port import Engine
from gateway.control.health import HealthBoard
from gateway.control.launches import Launches, is_launched
from gateway.fleet.build import BuiltEngine, build_engines
from gateway.settings import ConfigError, Loaded, Settings, load_settings, read_source
from gateway.telemetry.exposition import render_lines
from gateway.telemetry.metrics import LOOP_AGE, REPLICAS, Accumulator, Metrics
from gateway.workers.link import Link
from gateway.workers.messages import (
    AskCounters,
    AskExposition,
    Configure,
    Configured,
    Counters,
    Drain,
    Drained,
    Exposition,
    Fleet,
    Load,
    RemoteLoad,
    RemoteTokens,
    Reopen,
    ReplicaAt,
    ToPlane,
    ToWorker,
)

if TYPE_CHECKING:
    from gateway.supervisor import Supervisor

RELOAD_POLL_S = 2.0
REMOTE_LOAD_S = 0.1
COUNTERS_TIMEOUT_S = 2.0

log = structlog.get_logger()


class Source:
    """Where the configuration comes from: a file that may change, or a text that does not."""

    def __init__(
        self,
        path: pathlib.Path | None,
        text: str | None = None,
        *,
        server: Mapping[str, str | int] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self._text = text
        self.server = dict(server or {})
        self._environ = os.environ if environ is None else environ

    @property
    def base(self) -> pathlib.Path:
        return self.path.parent if self.path is not None else pathlib.Path()

    def fingerprint(self) -> bytes:
        """Changes when the file does, or a file it refers to. Reading costs 50 us; a parse, every two seconds, would
        hold the interpreter for 15 ms in the middle of somebody's stream (measured)."""
        assert self.path is not None
        digest = hashlib.sha256()
        for path in (self.path, *self._referenced(self.path)):
            try:
                content = path.read_bytes()
            except OSError as error:
                content = str(error.errno).encode()
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.digest()

    def _referenced(self, path: pathlib.Path) -> list[pathlib.Path]:
        try:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
        except OSError:
            return []
        return [self.base / name for name in re.findall(r"\$\{file:([^}]+)\}", text)]

    def load(self) -> tuple[str, Loaded]:
        """Read and check it. Raises ConfigError."""
        # Read once: what the workers are sent is what was checked here.
        text = self._text if self.path is None else read_source(self.path)
        assert text is not None
        name = None if self.path is None else str(self.path)
        return text, load_settings(text, self._environ, server=self.server, base=self.base, name=name)


class Plane:
    """Owns what the workers of one gateway share."""

    def __init__(self, source: Source, supervisor: Supervisor, *, workers: int) -> None:
        self._source = source
        self._supervisor = supervisor
        self._workers = workers
        self._links: dict[str, Link[ToWorker]] = {}
        self._pids: dict[str, int] = {}
        self._text, loaded = source.load()
        self.settings: Settings = loaded.settings
        self.notices = loaded.notices
        self._digest = loaded.digest
        self._fingerprint = source.fingerprint() if source.path is not None else b""
        self._launches = Launches(supervisor.spawn, self._fleet_changed)
        self._board = HealthBoard()
        self._built: dict[str, BuiltEngine] = {}
        self._metrics = Metrics(())
        for result in ("applied", "refused"):
            self._metrics.config_reload(result, 0)
        self._accumulator = Accumulator()
        self._loads: dict[str, list[RemoteTokens]] = {}
        self._asked = 0
        self._asking: dict[int, tuple[set[str], asyncio.Future[None]]] = {}
        self._configuring: dict[str, asyncio.Future[str]] = {}
        self._drained: dict[str, asyncio.Event] = {}
        self._reloading = asyncio.Lock()
        self.stopping = False
        self._metrics.watch(LOOP_AGE, lambda: [((name,), age) for name, age in supervisor.ages_s().items()])
        self._metrics.watch(REPLICAS, self._replica_states)

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Launch what is to be launched and begin the loops; does not wait for engines."""
        for notice in self.notices:
            log.info("config_notice", notice=notice)
        await self._launches.apply(self.settings)
        self._rebuild_probes()
        self._supervisor.loop("health", self._probe_all, lambda: self.settings.health.interval_s)
        if self._source.path is not None:
            self._supervisor.loop("config_reload", self._reload_if_changed, RELOAD_POLL_S, at_once=False)
        if self._workers > 1:
            self._supervisor.loop("load_exchange", self._share_load, REMOTE_LOAD_S)

    async def engines_started(self) -> None:
        """Wait until every launched replica has been ready once. Raises LaunchFailed."""
        await self._launches.started()

    async def stop(self, grace_s: float | None = None) -> None:
        """Drain every worker, then stop what was launched. None is the grace period of the configuration in use."""
        self.stopping = True
        grace_s = self.settings.server.grace_s if grace_s is None else grace_s
        for link in self._links.values():
            link.send(Drain(grace_s))
        try:
            async with asyncio.timeout(grace_s + 10.0):
                for event in list(self._drained.values()):
                    await event.wait()
        except TimeoutError:
            log.warning("worker_did_not_drain")
        await self._launches.stop()

    # -- workers -------------------------------------------------------------------------------------------------------

    def attach(self, worker: str, link: Link[ToWorker], pid: int | None = None) -> None:
        """A worker is there: tell it everything. `pid` is its process; None when that is ours."""
        self._links[worker] = link
        if pid is not None:
            self._pids[worker] = pid
        self._drained[worker] = asyncio.Event()
        link.send(self._configuration())

    def detach(self, worker: str) -> None:
        """A worker is gone; what it counted stays counted."""
        self._links.pop(worker, None)
        self._pids.pop(worker, None)
        self._loads.pop(worker, None)
        self._accumulator.departed(worker)
        drained = self._drained.pop(worker, None)
        if drained is not None:
            drained.set()
        for missing, answered in list(self._asking.values()):
            missing.discard(worker)
            if not missing and not answered.done():
                answered.set_result(None)
        waiting = self._configuring.pop(worker, None)
        if waiting is not None and not waiting.done():
            waiting.set_result("")

    async def configured(self, worker: str) -> str:
        """Wait for the worker's answer to its configuration: why it refused, or an empty string (also when it left)."""
        if worker not in self._links:
            return ""
        waiting = self._configuring.setdefault(worker, asyncio.get_running_loop().create_future())
        return await waiting

    def receive(self, worker: str, message: ToPlane) -> None:
        """Act on one message of a worker."""
        match message:
            case Configured():
                if worker in self._links:
                    waiting = self._configuring.setdefault(worker, asyncio.get_running_loop().create_future())
                    if not waiting.done():
                        waiting.set_result(message.problem)
            case Counters():
                self._accumulator.update(worker, message.metrics)
                asked = self._asking.get(message.number)
                if asked is not None:
                    asked[0].discard(worker)
                    if not asked[0] and not asked[1].done():
                        asked[1].set_result(None)
            case Load():
                self._loads[worker] = message.tokens
            case AskExposition():
                self._supervisor.spawn("exposition", lambda: self._expose(worker, message.number))
            case Drained():
                if worker in self._drained:
                    self._drained[worker].set()

    async def exposition(self) -> bytes:
        """All metrics, of the workers and our own, as Prometheus text. A late worker counts as last heard."""
        self._asked += 1
        number = self._asked
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        missing = set(self._links)
        self._asking[number] = missing, answered
        for link in list(self._links.values()):
            link.send(AskCounters(number))
        try:
            if missing:
                async with asyncio.timeout(COUNTERS_TIMEOUT_S):
                    await answered
        except TimeoutError:
            log.warning("stale_counters", workers=sorted(missing))
        finally:
            del self._asking[number]
        text = []
        total = self._accumulator.total(self._metrics.snapshot())
        for chunk in render_lines(total, (os.getpid(), *self._pids.values())):
            text.append(chunk)
            await asyncio.sleep(0)  # streams share this loop; all the text at once would hold them up for milliseconds
        return b"".join(text)

    async def _expose(self, worker: str, number: int) -> None:
        text = await self.exposition()
        link = self._links.get(worker)
        if link is not None:
            link.send(Exposition(number, text))

    # -- configuration -------------------------------------------------------------------------------------------------

    async def reload(self) -> bool:
        """Read the file again (SIGHUP); returns whether the new configuration is in use."""
        async with self._reloading:
            for link in self._links.values():
                link.send(Reopen())
            try:
                text, loaded = await asyncio.to_thread(self._source.load)
                self._check_fixed(loaded.settings)
                # Only to see whether they can be built; nothing is connected yet.
                build_engines(loaded.settings, self._launches.ready(), self._supervisor.spawn, self._built)
            except (ConfigError, ValueError, OSError) as error:
                self._metrics.config_reload("refused")
                log.error("config_refused", why=str(error))
                return False
            if loaded.digest == self._digest:
                return True
            self._text, self._digest, self.settings = text, loaded.digest, loaded.settings
            for notice in loaded.notices:
                log.info("config_notice", notice=notice)
            self._rebuild_probes()
            # An answer that somebody still waits for is of the configuration before; it does for both.
            self._configuring = {name: answer for name, answer in self._configuring.items() if not answer.done()}
            for link in self._links.values():
                link.send(self._configuration())
            problems = [problem for worker in list(self._links) if (problem := await self.configured(worker))]
            self._metrics.config_reload("refused" if problems else "applied")
            if problems:
                log.error("config_refused_by_worker", why=problems[0])
                return False
            # Last, so that nobody is sent any more to what is stopped now.
            await self._launches.apply(loaded.settings)
            log.info("config_applied", digest=self._digest[:12])
            return True

    async def _reload_if_changed(self) -> None:
        """Files are compared by content: a ConfigMap is a symlink whose times say nothing."""
        fingerprint = self._source.fingerprint()
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint  # first, so that a bad file is complained of once
            await self.reload()

    def _check_fixed(self, new: Settings) -> None:
        """What a running gateway cannot change. Raises ValueError."""
        old = self.settings
        for key in ("host", "port", "uds", "tls", "workers"):
            if getattr(new.server, key) != getattr(old.server, key):
                raise ValueError(f"server.{key} cannot change while the gateway runs; restart it to change it")
        for key in ("access_log", "log_level", "log_format", "otlp"):
            if getattr(new.telemetry, key) != getattr(old.telemetry, key):
                raise ValueError(f"telemetry.{key} cannot change while the gateway runs; restart it to change it")
        if new.data_dir != old.data_dir:
            raise ValueError("data_dir cannot change while the gateway runs; restart it to change it")

    def _configuration(self) -> Configure:
        return Configure(
            text=self._text,
            base=str(self._source.base),
            server=self._source.server,
            workers=self._workers,
            launched=self._launched(),
            down=self._down(),
        )

    # -- engines -------------------------------------------------------------------------------------------------------

    def _fleet_changed(self) -> None:
        message = Fleet(self._launched(), self._down())
        for link in self._links.values():
            link.send(message)

    def _launched(self) -> list[ReplicaAt]:
        return [
            ReplicaAt(engine, replica.id, replica.url)
            for engine, replicas in self._launches.ready().items()
            for replica in replicas
        ]

    def _down(self) -> list[ReplicaAt]:
        return [ReplicaAt(engine, replica) for engine, replica in self._board.down()]

    def _rebuild_probes(self) -> None:
        old, self._built = self._built, build_engines(self.settings, {}, self._supervisor.spawn, self._built)
        for name, built in old.items():
            new = self._built.get(name)
            if new is None or new.engine is not built.engine:
                self._supervisor.spawn("close engine", built.engine.close)

    async def _probe_all(self) -> None:
        """One round of free probes over the static replicas; launched ones are watched by their launcher."""
        health = self.settings.health
        keys: list[tuple[str, str]] = []
        probes = []
        for name, built in self._built.items():
            if is_launched(built.settings):
                continue
            engine: Engine = built.engine
            for replica in engine.replicas:
                keys.append((name, replica.id))
                probes.append(engine.probe(replica.id))
        results = await asyncio.gather(*probes)
        self._board.keep(set(keys))
        changed = False
        for key, healthy in zip(keys, results, strict=True):
            if self._board.note(
                key, healthy, unhealthy_after=health.unhealthy_after, healthy_after=health.healthy_after
            ):
                changed = True
                log.warning("replica_health", engine=key[0], replica=key[1], healthy=healthy)
        if changed:
            self._fleet_changed()

    def _replica_states(self) -> list[tuple[tuple[str, str], float]]:
        down = set(self._board.down())
        states: dict[tuple[str, str], float] = {}
        for name, built in self._built.items():
            if is_launched(built.settings):
                ready = len(self._launches.ready().get(name, ()))
                states[name, "ready"] = float(ready)
            else:
                unhealthy = sum(1 for replica in built.replicas if (name, replica.id) in down)
                states[name, "ready"] = float(len(built.replicas) - unhealthy)
                states[name, "unhealthy"] = float(unhealthy)
        for (engine, state), count in self._launches.states().items():
            states[engine, state] = float(count)
        return list(states.items())

    async def _share_load(self) -> None:
        """Tell each worker what the others have in flight."""
        for worker, link in list(self._links.items()):
            total: dict[tuple[str, str], int] = {}
            for other, tokens in self._loads.items():
                if other != worker:
                    for one in tokens:
                        key = one.engine, one.replica
                        total[key] = total.get(key, 0) + one.tokens
            link.send(RemoteLoad([RemoteTokens(*key, count) for key, count in total.items()]))
