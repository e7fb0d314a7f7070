"""Reading the configuration again: whole or not at all, in every worker or in none.

A new configuration is read, checked and tried before any worker hears of it: a bad file changes nothing, anywhere. One
that a worker cannot use is taken back from those that could, and the next SIGHUP tries again. A gateway that drains
keeps the one that it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from engines.files import NotNow
from gateway.accounts.keys import packing_keys
from gateway.control.configuration.source import Begun, Source
from gateway.control.links import Links
from gateway.fleet.steps import in_slices, letting_go, made_in_slices
from gateway.links.link import Link
from gateway.links.questions import AskFailed, LinkError, LinkLost
from gateway.settings import ConfigError, Settings
from gateway.settings.load import gather_ca_files
from gateway.settings.sealed import Sealed, leaving, opened, seal
from gateway.workers.exchange.messages import Configure, Configured, Keys, Reopen, ToWorker

POLL_S = 2.0
CONFIGURE_TIMEOUT_S = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class InUse:
    """One configuration: as data, which workers are sent, and as settings."""

    sealed: Sealed
    settings: Settings


class Reload:
    """The configuration in use, and the way to another."""

    def __init__(
        self,
        source: Source,
        links: Links,
        *,
        message: Callable[[InUse], Awaitable[Configure]],
        trial: Callable[[Settings], Awaitable[None]],
        using: Callable[[Settings], Awaitable[None]],
        counted: Callable[[str], None],
        begun: Begun | None = None,
    ) -> None:
        """Read and check the first one, unless it was. Raises ConfigError.

        Args:
            source: Where configurations come from.
            links: Who is to use them.
            message: What a worker is told of one: true in the turn of the loop in which it is there.
            trial: Raises ValueError, OSError or ConfigError for settings that cannot be built.
            using: Called with new settings once every worker uses them, and never while it runs.
            counted: Told `applied` or `refused` for each that was tried.
            begun: The first one, if somebody has read it.
        """
        self._source = source
        self._links = links
        self._message = message
        self._trial = trial
        self._using = using
        self._counted = counted
        loaded, self._fingerprint = begun or source.begin()
        self.now = InUse(seal(loaded), loaded.settings)
        self._authorities: tuple[Sealed, list[str]] | None = None
        """The files of authorities of what is in use: to gather them of 300 engines takes a millisecond."""
        self._taken = True
        """Whether all that `using` does with it has been done: if that fails, the next look or SIGHUP does it again."""
        self._one = asyncio.Lock()
        self._closed = False
        self._ignored = False
        """Whether it was said that nothing is taken any more."""

    @property
    def settings(self) -> Settings:
        """The settings in use."""
        return self.now.settings

    @property
    def watched(self) -> bool:
        """Whether there is a file that may change."""
        return self._source.path is not None

    async def joined(self, worker: str, link: Link[ToWorker], pid: int | None = None) -> str | None:
        """Have a new worker use the configuration; returns why it cannot, an empty string, or None when it left."""
        async with self._one:  # one that joins in the middle of a reload would be left with the old configuration
            message = await self._message(self.now)  # before it is added: it is told nothing else until then
            self._links.add(worker, link, pid)
            asking = link.ask(message, Configured, timeout_s=CONFIGURE_TIMEOUT_S)
        try:
            return _problem(await asking)
        except LinkLost:
            return None
        except TimeoutError:
            return f"it said nothing for {CONFIGURE_TIMEOUT_S:g} s"
        except LinkError as error:
            return str(error)

    async def begin(self) -> None:
        """Use the first one, or what a SIGHUP has put in its place by now: it may be in the middle of that."""
        async with self._one:
            await self._using(self.settings)

    def close(self) -> None:
        """Take no other configuration any more: the gateway drains, and what it would begin would have no use. One that
        workers are being told of already is still taken by all."""
        self._closed = True

    def _keeps(self) -> bool:
        """Whether none is taken any more; said once, when somebody wants another."""
        if self._closed and not self._ignored:
            self._ignored = True
            log.info("config_ignored", why="the gateway drains, and keeps the configuration that it has")
        return self._closed

    async def watch(self) -> None:
        """The loop's step. Files are compared by content: a ConfigMap is a symlink whose times say nothing."""
        try:
            fingerprint = await asyncio.to_thread(self._source.fingerprint, await self._authority_files())
        except NotNow:
            return  # out of descriptors: it may be as it was, and the next look will tell
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint  # first, so that a bad file is complained of once
            if not self._keeps():
                await self.reload()
        elif not self._taken and not self._closed:
            async with self._one:
                await self._take()  # of the one in use: the file may hold one by now that nobody can use

    async def _authority_files(self) -> list[str]:
        """Those of what is in use. Who waits for a reload must not hold settings: nobody else would be the last to."""
        if self._authorities is None or self._authorities[0] is not self.now.sealed:
            sealed, named = self.now.sealed, set[str]()
            await in_slices(gather_ca_files(self.settings, named))
            self._authorities = sealed, sorted(named)
        return self._authorities[1]

    async def reload(self) -> bool:
        """Read the file again (SIGHUP); returns whether what it says is in use."""
        async with self._one:
            self._links.tell_all(Reopen())
            if self._keeps():
                return False
            used, parts = await self._changed()
            await in_slices(letting_go(parts))
            return used

    async def _changed(self) -> tuple[bool, list[object]]:
        """Returns whether what the file says is in use, and what is out of use by that: once this has returned nobody
        else holds it."""
        new: InUse | None = None
        try:
            sealed = await self._source.read()
            if self._taken and sealed.same(self.now.sealed):
                return True, []  # before settings are made of it: 10,000 keys would be made for nothing
            new = InUse(sealed, (await opened(sealed, (self.now.sealed, self.settings))).settings)
            check_fixed(self.settings, new.settings)
            await self._trial(new.settings)
        except (ConfigError, ValueError, OSError) as error:
            self._counted("refused")
            log.error("config_refused", why=str(error))
            return False, [] if new is None else leaving(new.settings)
        if self._keeps():
            return False, leaving(new.settings)
        if not sealed.same(self.now.sealed):
            if sealed.differs_only_in(self.now.sealed, "auth"):  # then nothing needs to be built
                await self._tell_keys(new.settings)
            elif not await self._spread(new):
                self._counted("refused")
                return False, leaving(new.settings)
        before, self.now, self._taken = self.now.settings, new, False
        self._authorities = None
        for notice in sealed.notices:
            log.info("config_notice", notice=notice)
        await self._take()
        return True, leaving(before)

    async def _tell_keys(self, settings: Settings) -> None:
        parts = await made_in_slices(packing_keys(settings))
        self._links.tell_all(Keys(parts, settings.auth.open))

    async def _take(self) -> None:
        """Do all that is to be done with the one in use, which workers have."""
        if not self._taken:
            await self._using(self.settings)
            self._taken = True
            self._counted("applied")
            log.info("config_applied", digest=self.now.sealed.digest[:12])

    async def _spread(self, new: InUse) -> bool:
        """Have every worker use it, or none; returns which."""
        message: ToWorker = await self._message(new)
        answers = await self._links.ask_all(message, Configured, timeout_s=CONFIGURE_TIMEOUT_S)
        problems = {worker: problem for worker, answer in answers.items() if (problem := _problem(answer))}
        for worker, answer in answers.items():
            if isinstance(answer, TimeoutError):
                # It serves nobody either, and has the message before it if it ever wakes up.
                log.warning("worker_silent", worker=worker)
        if not problems:
            return True
        worker, why = next(iter(problems.items()))
        log.error("config_refused_by_worker", worker=worker, why=why)
        taking_back = [worker for worker in answers if worker not in problems]
        for worker in taking_back:
            before = await self._message(self.now)  # anew for each: replicas may have changed meanwhile
            problem = _problem(await self._links.ask(worker, before, Configured, timeout_s=CONFIGURE_TIMEOUT_S))
            if problem:
                log.error("config_not_taken_back", worker=worker, why=problem)
        return False


def _problem(answer: object) -> str:
    """Why a worker does not use what it was sent; empty when it does, or when it left or said nothing."""
    if isinstance(answer, Configured):
        return answer.problem
    return str(answer) if isinstance(answer, AskFailed) else ""


def check_fixed(old: Settings, new: Settings) -> None:
    """What a running gateway cannot change. Raises ValueError."""
    for key in ("host", "port", "uds", "tls", "workers"):
        if getattr(new.server, key) != getattr(old.server, key):
            raise ValueError(f"server.{key} cannot change while the gateway runs; restart it to change it")
    for key in ("access_log", "log_level", "log_format", "otlp"):
        if getattr(new.telemetry, key) != getattr(old.telemetry, key):
            raise ValueError(f"telemetry.{key} cannot change while the gateway runs; restart it to change it")
    for key in ("url", "retention_days"):
        if getattr(new.store, key) != getattr(old.store, key):
            raise ValueError(f"store.{key} cannot change while the gateway runs; restart it to change it")
    if new.autoscale.keda != old.autoscale.keda:
        raise ValueError("autoscale.keda cannot change while the gateway runs; restart it to change it")
    if new.admin != old.admin:
        raise ValueError("admin cannot change while the gateway runs; restart it to change it")
    if new.data_dir != old.data_dir:
        raise ValueError("data_dir cannot change while the gateway runs; restart it to change it")
