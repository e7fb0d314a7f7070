"""Which of several gateways acts: the one that holds the Lease. All serve, and drain whom the one that acts drains.

Whom it drains stands in an annotation of the Lease, which all read every two seconds anyway. Without a Lease in the
configuration this gateway acts by itself.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import socket
import uuid
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec
import structlog

from engines.port import Spawn
from gateway import clock
from gateway.control.scaling.cluster.workloads import places
from gateway.kubernetes.api import Api, ApiError, api_place, own_namespace
from gateway.kubernetes.lease import USUAL, Candidate, LeaseTimes, lease_of
from gateway.process.pause import Pause, pause
from gateway.settings import Settings
from gateway.settings.sections.autoscale import LeaseSection
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.scaling import LEADER

DRAINING: Final = "penstock.dev/draining"
"""Of the Lease: `{engine: [those that finish what they have, those that are to be removed]}`, in JSON."""
JITTER: Final = 1.2
LEAVE_S: Final = 2.0
"""For so long it is tried to hand the Lease over; without that another takes it when it has run out."""

Told = dict[str, tuple[list[str], list[str]]]
log = structlog.get_logger()


class Leading:
    """Satisfies `gateway.control.scaling.cluster.scaling.Leadership`."""

    def __init__(
        self,
        spawn: Spawn,
        metrics: Metrics,
        *,
        identity: str = "",
        times: LeaseTimes = USUAL,
        pause: Pause = pause,
        monotonic: Callable[[], float] = clock.monotonic,
        wall: Callable[[], float] = clock.wall,
    ) -> None:
        """`identity` is nobody else's; left out, it is the host's name and something random."""
        self._spawn = spawn
        self._identity = identity or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self._times = times
        self._pause = pause
        self._monotonic = monotonic
        self._wall = wall
        self._section: LeaseSection | None = None
        self._election: Election | None = None
        self._changed: Callable[[], None] = lambda: None
        metrics.watch(LEADER, lambda: [] if self._election is None else [((), float(self.leads))])

    @property
    def leads(self) -> bool:
        return self._election is None or self._election.leads

    @property
    def holder(self) -> str:
        """Who acts; empty where nobody has to be asked, or nobody does."""
        return "" if self._election is None else self._election.holder

    def told(self, engine: str) -> tuple[Collection[str], Collection[str]]:
        return ([], []) if self._election is None else self._election.told.get(engine, ([], []))

    def tell(self, engine: str, leaving: Collection[str], going: Collection[str]) -> None:
        if self._election is not None:
            self._election.tell(engine, ([*leaving], [*going]))

    def watch(self, changed: Callable[[], None]) -> None:
        """`changed` is called when another acts, or drains others."""
        self._changed = changed

    def use(self, settings: Settings) -> None:
        """These settings are in use from now on."""
        section = settings.autoscale.lease
        engines = places(settings)
        if section == self._section:
            if self._election is not None:
                self._election.limit(engines)
            return
        self._section = section
        if self._election is not None:
            self._election.end()
            self._election = None
        if section is not None:
            election = Election(
                section, self._spawn, self._identity, self._times, self._monotonic, self._wall, self._changed
            )
            election.limit(engines)
            self._election = election
            self._spawn("leader election", functools.partial(election.run, self._pause))

    def ages_s(self) -> dict[str, float]:
        """Seconds since the Lease was last seen or written without a problem; empty without a Lease."""
        return {} if self._election is None else {"leader_election": self._monotonic() - self._election.succeeded_s}

    async def leave(self) -> None:
        """Act no more, and let another do so at once."""
        if self._election is not None:
            await self._election.leave()


class Election:
    """One Lease, and whether it is ours."""

    def __init__(
        self,
        section: LeaseSection,
        spawn: Spawn,
        identity: str,
        times: LeaseTimes,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._namespace = namespace = section.namespace or own_namespace()
        self._times = times
        self._monotonic = monotonic
        self._wall = wall
        self._changed = changed
        self._api = Api(api_place(section, os.environ), spawn)
        self._name = section.name
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._candidate = Candidate(identity, section.name, namespace, times)
        self.told: Told = {}
        """Whom whoever acts drains."""
        self._engines: frozenset[str] | None = None
        self.succeeded_s = monotonic()
        """When it was last seen or written without a problem; before, when this began."""
        self._led = False
        self._problem = ""
        self._over = False
        self._wake = asyncio.Event()
        self._asking = asyncio.Lock()

    @property
    def leads(self) -> bool:
        return not self._over and self._candidate.leads(self._monotonic())

    @property
    def holder(self) -> str:
        return self._candidate.holder

    def tell(self, engine: str, told: tuple[list[str], list[str]]) -> None:
        """As the one that acts: this is whom we drain."""
        if self._engines is not None and engine not in self._engines:
            return
        before = self.told.get(engine, ([], []))
        if self.leads and told != before:
            self.told[engine] = told
            if told == ([], []):
                del self.told[engine]
            self._wake.set()

    def limit(self, engines: frozenset[str]) -> None:
        """Nobody is told of any other place: whoever acted before may have left something of one that is no more."""
        self._engines = engines
        if self.leads and not engines.issuperset(self.told):
            self.told = self._kept()
            self._wake.set()

    def end(self) -> None:
        """Take no part any more. What is held runs out."""
        self._over = True
        self._wake.set()

    async def run(self, pause: Pause) -> None:
        """Claim it, renew it, or see who has it, again and again."""
        rng = random.Random()  # noqa: S311 - spreads requests
        try:
            while not self._over:
                self._wake.clear()
                try:
                    async with self._asking, asyncio.timeout(self._times.renew_s / 2):
                        await self.step()
                    self.succeeded_s = self._monotonic()
                    self._well()
                except ApiError as error:
                    self._said(str(error))
                except TimeoutError:
                    self._said(f"the API server does not answer within {self._times.renew_s / 2:.0f} s")
                except Exception as error:  # whatever it is, a Lease that nobody renews any more is worse
                    log.error("election_broke", lease=self._name, exc_info=error)
                    self._said(f"{type(error).__name__}: {error}")
                self._note()
                await pause(self._times.retry_s * rng.uniform(1.0, JITTER), self._wake)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close what it asks the API server by."""
        await self._api.close()

    async def leave(self) -> None:
        """Give it up, if it is ours."""
        over, self._over = self._over, True
        try:
            async with asyncio.timeout(LEAVE_S), self._asking:
                lease = None if over else self._candidate.released(self._wall(), self._draining())
                if lease is not None:
                    self._candidate.saw(await self._put(lease), self._monotonic())
        except (ApiError, TimeoutError) as error:
            log.warning("lease_not_released", lease=self._name, why=str(error) or f"no answer within {LEAVE_S:.0f} s")
        self._wake.set()

    async def step(self) -> None:
        """One look."""
        if not self.leads:
            await self._look()
        claim = self._claim()
        if claim is None:
            return
        sent_s = self._monotonic()
        try:
            written = await (self._put(claim) if "resourceVersion" in claim["metadata"] else self._create(claim))
        except ApiError as error:
            if error.reason == "NotFound" and "resourceVersion" not in claim["metadata"]:
                raise ApiError(f"the lease cannot be made: there is no namespace {self._namespace}", 404) from None
            if error.reason not in ("Conflict", "AlreadyExists", "NotFound"):
                raise
            await self._look()  # somebody else has written it, or taken it away
            return
        self._candidate.wrote(written, sent_s, self._monotonic())
        self.told = self._kept()

    def _claim(self) -> dict[str, Any] | None:
        return self._candidate.claim(self._monotonic(), self._wall(), self._draining())

    def _draining(self) -> dict[str, str]:
        return {DRAINING: msgspec.json.encode(self._kept()).decode()}

    def _kept(self) -> Told:
        engines = self._engines
        return self.told if engines is None else {name: told for name, told in self.told.items() if name in engines}

    async def _look(self) -> None:
        try:
            lease = lease_of(await self._ask("get", "GET", f"{self._leases}/{self._name}"))
        except ApiError as error:
            if error.status != 404:
                raise
            self._candidate.saw(None, self._monotonic())
            return
        self._candidate.saw(lease, self._monotonic())
        before, self.told = self.told, _told(self._candidate.annotations.get(DRAINING, ""))
        if self.told != before:
            self._changed()

    async def _put(self, lease: dict[str, Any]) -> dict[str, Any]:
        body = msgspec.json.encode(lease)
        return lease_of(await self._ask("update", "PUT", f"{self._leases}/{self._name}", body))

    async def _create(self, lease: dict[str, Any]) -> dict[str, Any]:
        return lease_of(await self._ask("create", "POST", self._leases, msgspec.json.encode(lease)))

    async def _ask(self, verb: str, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            return await self._api.send(method, path, body)
        except ApiError as error:
            if error.status != 403:
                raise
            named = "" if verb == "create" else f"resourceNames: [{self._name}], "
            rule = f"{{apiGroups: [coordination.k8s.io], resources: [leases], {named}verbs: [{verb}]}}"
            raise ApiError(f"the gateway may not {verb} leases: its Role lacks {rule}", 403, error.reason) from None

    # -- saying --------------------------------------------------------------------------------------------------------

    def _note(self) -> None:
        leads = self.leads
        if leads != self._led:
            self._led = leads
            self._changed()
            log.info("leads" if leads else "leads_no_more", lease=self._name, holder=self.holder)

    def _said(self, why: str) -> None:
        if why != self._problem:
            self._problem = why
            log.error("lease_failed", lease=self._name, why=why)

    def _well(self) -> None:
        if self._problem:
            self._problem = ""
            log.info("lease_recovered", lease=self._name)


def _told(text: str) -> Told:
    """Of an annotation that somebody may have broken, nothing."""
    try:
        return msgspec.json.decode(text, type=Told)
    except (msgspec.DecodeError, RecursionError):
        return {}
