"""The loop over releases: what workers see goes in, decisions come out, and the store knows of both.

One gateway decides over all that any of them sees; the others tell it, and take over what was stored. Where the store
is away nothing goes up anywhere, and each gateway rolls back by what it sees itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from engines.port import Spawn
from gateway import clock
from gateway.control.releases.bandits import Bandits
from gateway.control.releases.beside import Beside
from gateway.control.releases.deciding import Deciding
from gateway.control.releases.kept import KeptRamps
from gateway.control.releases.release import Release
from gateway.control.releases.spec import ReleaseSpec
from gateway.control.releases.telling import MOST_WEIGHED, Telling
from gateway.control.releases.webhooks import Hooks
from gateway.store.releases.messages import ReleaseChange, ReleasesSynced, StoredEvidence, SyncReleases
from routing.gate.observation import Observation
from routing.gate.rollout import RampDecision, WrongMoment

EVERY_S: Final = 0.1
"""Of the second within which a rollback is to have effect everywhere."""
SYNC_S: Final = 0.25
"""Where several gateways share a store; one alone has less to tell."""
SYNC_ALONE_S: Final = 0.5
"""With what workers and the loop hold back, a gateway that dies has lost less than a second of what was seen."""
CLOSE_S: Final = 2.0
"""The end of the gateway waits no longer for the store to take what was seen last."""
FILE_S: Final = 1.0
"""And for a disk no longer than this."""
KEEP_S: Final = 10.0
"""Between two times that evidence is stored."""
MOST_EVIDENCE_BYTES: Final = 12 << 20
"""In one message to the store. It is that of some 200,000 users under the usual guardrails; of a release that finds no
room, a restart goes on from what was stored last."""
MOST_SEEN: Final = 200_000
"""Observations that wait to be weighed; more are dropped."""
AT_ONCE: Final = 64
"""Weighed before the event loop may turn: 1 ms."""
AWAY: Final = "the store is away, so nothing can be kept of it; try again, or abort, which needs no store"

log = structlog.get_logger()


class Sync(Protocol):
    """How the store is asked."""

    def __call__(self, question: SyncReleases, /) -> Awaitable[ReleasesSynced]: ...


class NoRelease(LookupError):
    """There is no such release; the message says which there are."""


class Releases:
    """See the module."""

    def __init__(
        self,
        sync: Sync | None,
        set_shares: Callable[[str, Mapping[str, float]], None],
        hooks: Hooks,
        spawn: Spawn,
        *,
        kept: KeptRamps | None = None,
        bandits: Bandits | None = None,
        now_s: Callable[[], float] = clock.monotonic,
        wall_s: Callable[[], float] = clock.wall,
    ) -> None:
        """`sync` asks the store; None: there is none. `set_shares` takes an experiment, and the shares of its arms but
        the control. `kept` is where ramps were before the gateway started."""
        self._sync = sync
        self._kept = kept
        self._before = kept.read() if kept is not None else {}
        self._set_shares = set_shares
        self._now_s = now_s
        self._wall_s = wall_s
        self._shared = False
        self._releases: dict[tuple[str, str], Release] = {}
        self._applied: dict[str, dict[str, float]] = {}
        self._waiting: deque[Sequence[Observation]] = deque()
        """At most `AT_ONCE` in each."""
        self._waits = 0
        """Observations in them."""
        self._telling = Telling()
        self.dropped = 0
        """Observations for which there was no time."""
        self.decides = sync is None
        """Whether this gateway is the one that decides."""
        self._fresh: set[tuple[str, str]] = set()
        """Releases of which the store has not been read."""
        self.away = ""
        """Why the store is away."""
        self._sync_at_s = self._keep_at_s = 0.0
        self._beside = Beside(lambda: self._ask_store([]), spawn, now_s)
        self._syncing = asyncio.Lock()
        self._weighing = asyncio.Lock()
        """Held while observations are told to gates, or gates are kept."""
        keeps = sync is not None
        self._bandits = bandits or Bandits()
        self.deciding = Deciding(hooks, spawn, self._store, self._apply, keeps=keeps, now_s=now_s, wall_s=wall_s)

    def __iter__(self) -> Iterator[Release]:
        return iter(self._releases.values())

    def use(self, specs: Sequence[ReleaseSpec], *, gateways: int) -> None:
        """These are the releases from now on. One whose experiment and arm are the same goes on."""
        self._shared = gateways > 1
        before, self._releases = self._releases, {}
        for spec in specs:
            release = before.get(spec.key)
            if release is not None:
                release.use(spec)
                release.set_apart(self._is_apart(spec.key))
            else:
                self._applied.setdefault(spec.experiment, {})[spec.arm] = spec.share
                if self._sync is not None:
                    self._fresh.add(spec.key)
                release = Release(spec, apart=self._is_apart(spec.key))
                if spec.key in self._before:
                    release.go_on(self._before[spec.key])
            self._releases[spec.key] = release
        self._before = {}
        self._fresh &= self._releases.keys()
        used = {spec.experiment for spec in specs}
        self._applied = {one: shares for one, shares in self._applied.items() if one in used}
        for release in self._releases.values():
            self._apply(release)

    def _is_apart(self, key: tuple[str, str]) -> bool:
        """Whether what is seen here is only a part of what there is."""
        return self._sync is not None and (self._shared or not self.decides or key in self._fresh)

    def find(self, model: str, arm: str = "") -> Release:
        """That of a model; `arm` may be left out where it has one. Raises NoRelease."""
        found = [one for one in self._releases.values() if one.spec.model == model and arm in ("", one.spec.arm)]
        if len(found) == 1:
            return found[0]
        if found:
            arms = ", ".join(one.spec.arm for one in found)
            raise NoRelease(f"the experiment of {model!r} has several arms, so say which: {arms}")
        models = ", ".join(sorted({one.spec.model for one in self._releases.values()})) or "none"
        what = f"the experiment of {model!r} has no arm {arm!r}" if arm else f"{model!r} has no experiment"
        raise NoRelease(f"{what}; models with one: {models}")

    def observed(self, seen: Sequence[Observation]) -> None:
        """Workers of this gateway saw this."""
        taken = min(len(seen), MOST_SEEN - self._waits)
        for start in range(0, taken, AT_ONCE):
            self._waiting.append(seen[start : min(start + AT_ONCE, taken)])
        self._waits += taken
        self.dropped += len(seen) - taken

    def changed(self) -> None:
        """Some gateway has stored a change: look at the next step."""
        self._sync_at_s = 0.0

    async def press(self, model: str, arm: str, action: str, by: str) -> tuple[RampDecision, str]:
        """Somebody presses `start`, `pause`, `resume`, `promote` or `abort`; returns the decision, and why it is not
        done, if it is not. Raises NoRelease, and WrongMoment where that makes no sense."""
        release = self.find(model, arm)
        ramp = release.ramp
        presses = {
            "start": ramp.start,
            "pause": ramp.pause,
            "resume": ramp.resume,
            "promote": ramp.promote,
            "abort": ramp.abort,
        }
        if action == "promote" and not release.spec.alone:
            raise WrongMoment(
                "one of several arms cannot have all units: make its targets the model's in the configuration"
            )
        decision = presses[action](by)
        problem = await self.deciding.pressed(release, decision)
        if not problem and self._sync is not None and release.unsent and not self.away:
            await self._ask_store([])
        return decision, problem

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def step(self) -> None:
        """Its step, every `EVERY_S`."""
        if not self._releases:
            self._waiting.clear()
            self._waits = 0
            return
        await self._weigh()
        if self._sync is not None and self._now_s() >= self._sync_at_s:
            self._sync_at_s = self._now_s() + (SYNC_S if self._shared else SYNC_ALONE_S)
            await self._beside.ask()
            await self._weigh()
        for release in list(self._releases.values()):
            self._look(release)
        if self.decides and not (self.away or self._beside.hangs):
            self._divide()
        if not self.away and any(release.unsent for release in self._releases.values()):
            await self._beside.ask()

    async def close(self) -> None:
        """Give the store what was seen last: whoever goes on, goes on from there."""
        if self._sync is not None and self._releases and not self.away:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._weigh()
                    await self._ask_store([])
        if self._kept is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FILE_S):
                    await self._kept.settled()

    async def _weigh(self) -> None:
        """All that was seen."""
        async with self._weighing:
            await self._weigh_waiting()

    async def _weigh_waiting(self) -> None:
        self._look_at_clocks()
        weighed = 0
        while self._waiting:
            some = self._waiting.popleft()
            self._waits -= len(some)
            self._weigh_some(some, own=True)
            weighed += len(some)
            if weighed >= AT_ONCE:
                weighed = 0
                await asyncio.sleep(0)

    def _look_at_clocks(self) -> None:
        now_s, wall_s = self._now_s(), self._wall_s()
        for release in self._releases.values():
            release.at(now_s, wall_s)

    def _weigh_some(self, some: Sequence[Observation], *, own: bool) -> None:
        decides = self.decides or not own
        for release in self._releases.values():
            release.tell(some, own=own, decides=decides)
        if own and self._sync is not None:
            untold = self._telling.saw(some)
            if not self.decides:
                self.dropped += untold

    def _look(self, release: Release) -> None:
        """Decide what is due of one."""
        ramp = release.ramp
        if self.away or self._beside.hangs:
            gate = release.gate if self.decides else release.local
            if gate.rolls_back and ramp.live:
                self.deciding.stop(release, RampDecision("rollback", ramp.share, 0.0, gate.verdict().sentence))
            return
        if not self.decides or release.spec.key in self._fresh:
            return
        if ramp.state == "idle" and not release.version and release.spec.ramp.steps:
            self.deciding.decided(release, ramp.start(""))
            return
        key, wall = release.spec.key, datetime.fromtimestamp(self._wall_s(), UTC)
        verdict, against = release.gate.verdict(), self.deciding.waits_for.get(key, "")
        decision = ramp.look(verdict, release.gate.step_units, self._now_s(), wall, against)
        if decision is None:
            self.deciding.waits_for.pop(key, None)
        else:
            self.deciding.decided(release, decision)
        self.deciding.poll(release)

    def _divide(self) -> None:
        """Have bandits set weights, of experiments that have one."""
        arms: dict[str, list[Release]] = {}
        for release in self._releases.values():
            if release.spec.bandit is not None and release.spec.key not in self._fresh:
                arms.setdefault(release.spec.experiment, []).append(release)
        for releases in arms.values():
            for release, decision in self._bandits.look(releases, self._now_s()):
                self.deciding.decided(release, decision)

    # -- the store -----------------------------------------------------------------------------------------------------

    async def _ask_store(self, changes: list[ReleaseChange]) -> list[tuple[str, str]] | None:
        """Store and read. Returns what was refused; None where the store is away."""
        assert self._sync is not None
        async with self._syncing:
            unsent = {release.spec.key: len(release.unsent) for release in self._releases.values() if release.unsent}
            waiting = [change for key in unsent for change in self._releases[key].unsent]
            fresh, telling = frozenset(self._fresh), self._telling
            evidence: list[StoredEvidence] = []
            progress: list[ReleaseChange] = []
            due = self._now_s() >= self._keep_at_s or len(telling.weighed) >= MOST_WEIGHED
            keep = self.decides and not self.away and due
            batch = b"" if keep else telling.batch()
            stored = telling.to_cover() if keep else telling.told
            if keep:
                self._keep_at_s = self._now_s() + KEEP_S
                for release in self._releases.values():
                    if release.ramp.live and not release.unsent and release.spec.key not in fresh:
                        await self._add_evidence(release, evidence)
                        if release.version:
                            progress.append(release.progress())
            question = SyncReleases(
                sorted({experiment for experiment, _ in self._releases}),
                [*waiting, *progress, *changes],
                evidence,
                [batch] if batch else [],
                want_evidence=bool(fresh) or not self.decides,
                number=telling.number if batch else 0,
                weighed=list(telling.weighed),
                covered=keep,
            )
            told = await self._sync(question)
            if told.away:
                if not self.away:
                    log.error("releases_cannot_go_up", why=told.away)
                self.away = told.away
                return None
            if self.away:
                log.warning("releases_can_go_up_again")
            self.away = ""
            stored()
            for key, count in unsent.items():
                if key in self._releases and key not in told.refused:
                    del self._releases[key].unsent[:count]
            self._take_in(told, fresh)
            self._keep()
            return told.refused

    def _take_in(self, told: ReleasesSynced, fresh: frozenset[tuple[str, str]]) -> None:
        """`fresh`: of which the store had not been read before."""
        newly = told.decides and not self.decides
        for stored in told.releases:
            release = self._releases.get(stored.key)
            progress = newly or not told.decides or stored.key in fresh
            if release is not None and release.adopt(stored, progress=progress):
                self._apply(release)
        if told.decides:
            for kept in told.evidence:
                key = kept.experiment, kept.arm
                if key in self._releases and (newly or key in fresh):
                    self._releases[key].recall(kept)
        own = self._telling.begin() if newly else []
        if not told.decides:
            self._telling.end()
        self.decides = told.decides
        self._fresh -= fresh
        self._look_at_clocks()  # of rounds that others began
        self.deciding.holds = self._telling.waits(told.later)
        self._weigh_some([*self._telling.heard(told.observed), *own], own=False)
        for key, release in self._releases.items():
            release.set_apart(self._is_apart(key))

    async def _add_evidence(self, release: Release, evidence: list[StoredEvidence]) -> None:
        """That of one release, if it finds room."""
        async with self._weighing:
            kept = await release.evidence()
        size = sum([len(one.evidence) for one in [*evidence, kept]])
        if size <= MOST_EVIDENCE_BYTES:
            evidence.append(kept)
        else:
            log.error("evidence_too_large", model=release.spec.model, arm=release.spec.arm, bytes=size)

    async def _store(self, release: Release, change: ReleaseChange) -> str:
        if self._sync is None:
            return ""
        refused = await self._ask_store([change])
        if refused is None:
            return AWAY
        if release.spec.key in refused:
            return "somebody else has just changed it: look again"
        return ""

    # -- what takes effect ---------------------------------------------------------------------------------------------

    def _apply(self, release: Release) -> None:
        """Tell workers, where the shares of an experiment are others now."""
        experiment = release.spec.experiment
        shares = {one.spec.arm: one.ramp.share for one in self._releases.values() if one.spec.experiment == experiment}
        if shares != self._applied.get(experiment):
            self._applied[experiment] = shares
            self._keep_at_s = 0.0  # what is stored knows of the step that begins
            self._set_shares(experiment, shares)
        self._keep()

    def _keep(self) -> None:
        """For a start at which the store is away."""
        if self._kept is not None:
            self._kept.keep([release.kept() for release in self._releases.values()])

    def sentence(self, release: Release) -> str:
        """Why one is where it is."""
        if self.away and release.ramp.live:
            return f"the store is away ({self.away}): nothing goes up until it is back"
        return self.deciding.waits_for.get(release.spec.key) or release.ramp.why
