"""A decision on its way: who is asked first, when it is stored, and from when on it counts.

    rollback, abort         counts at once; the store hears of it when it can
    all that goes up        first those who are asked agree, then the store takes it, then it counts
    pause, resume           first the store takes it, then it counts

So whatever becomes of store and webhooks, no release goes up without them, and none stays up for them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from engines.port import Spawn
from gateway.control.releases.release import Release
from gateway.control.releases.webhooks import Hooks
from gateway.store.releases.messages import ReleaseChange
from routing.gate.rollout import RampDecision

AGAIN_S: Final = 10.0
"""Between two times that somebody is asked."""
ASKED: Final[Mapping[str, tuple[str, ...]]] = {
    "start": ("confirm-rollout", "pre-rollout"),
    "advance": ("rollout", "confirm-traffic-increase"),
    "promote": ("rollout", "confirm-promotion"),
}
STOPS: Final = frozenset({"rollback", "abort"})
ENDS: Final = frozenset({"promote", "rollback", "abort"})

Store = Callable[[Release, ReleaseChange], Awaitable[str]]
"""Stores a change; returns why not, or nothing."""

log = structlog.get_logger()


class Deciding:
    """See the module."""

    def __init__(
        self,
        hooks: Hooks,
        spawn: Spawn,
        store: Store,
        apply: Callable[[Release], None],
        *,
        keeps: bool,
        now_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        """`apply` makes the share that a release has now that of every worker. `keeps`: there is a store."""
        self._hooks = hooks
        self._spawn = spawn
        self._store = store
        self._apply = apply
        self._keeps = keeps
        self._now_s = now_s
        self._wall_s = wall_s
        self._busy: set[tuple[str, str]] = set()
        self._again_s: dict[tuple[str, str], float] = {}
        self._polling: set[tuple[str, str]] = set()
        self._poll_at_s: dict[tuple[str, str], float] = {}
        self.waits_for: dict[tuple[str, str], str] = {}
        """What stands against the next step, of those who were asked."""
        self.holds = ""
        """Why nothing goes up now, but what somebody presses."""

    def decided(self, release: Release, decision: RampDecision) -> None:
        """The gate has. What goes up is begun at most once, and not again at once where somebody disagreed."""
        if decision.action in STOPS:
            self.stop(release, decision)
            return
        key = release.spec.key
        if self.holds and (decision.action in ASKED or decision.after > decision.before):
            self.waits_for[key] = self.holds
            return
        if key in self._busy or self._now_s() < self._again_s.get(key, 0.0):
            return
        self._busy.add(key)
        self._spawn("release", lambda: self._go_on(release, decision))

    def stop(self, release: Release, decision: RampDecision) -> None:
        """At once."""
        at_s = self._wall_s()
        self.waits_for.pop(release.spec.key, None)
        change = release.change(decision, at_s)
        release.done(decision, at_s)
        release.version += 1
        if self._keeps:
            release.unsent.append(change)
        self._apply(release)
        self._said(release, decision)

    async def pressed(self, release: Release, decision: RampDecision) -> str:
        """Somebody has; nobody else is asked. Returns why it is not done, or nothing."""
        if decision.action in STOPS:
            self.stop(release, decision)
            return ""
        return await self._stored(release, decision)

    def poll(self, release: Release) -> None:
        """Ask, now and then, whether somebody outside wants it rolled back, whoever else is asked for what."""
        key = release.spec.key
        if not release.ramp.live or not any(hook.kind == "rollback" for hook in release.spec.hooks):
            return
        if self._now_s() >= self._poll_at_s.get(key, 0.0) and key not in self._polling:
            self._poll_at_s[key] = self._now_s() + AGAIN_S
            self._polling.add(key)
            self._spawn("release", lambda: self._wanted_back(release))

    async def _go_on(self, release: Release, decision: RampDecision) -> None:
        key = release.spec.key
        try:
            version = release.version
            for kind in ASKED.get(decision.action, ()):
                problem = await self._hooks.ask(release.spec.hooks, kind, facts_of(release, decision))
                if problem:
                    self.waits_for[key] = problem
                    self._again_s[key] = self._now_s() + AGAIN_S
                    return
            if decision.action in ASKED:
                self.waits_for.pop(key, None)
            if release.version == version and not release.gate.rolls_back:  # meanwhile, anything may have happened
                problem = await self._stored(release, decision)
                if problem:
                    log.warning("release_not_stored", model=release.spec.model, arm=release.spec.arm, why=problem)
        finally:
            self._busy.discard(key)

    async def _wanted_back(self, release: Release) -> None:
        key = release.spec.key
        try:
            who = await self._hooks.any_says_yes(release.spec.hooks, "rollback", facts_of(release, None))
            if who and release.ramp.live:
                self.stop(
                    release, RampDecision("rollback", release.ramp.share, 0.0, f"asked for by {who}: rolled back")
                )
        finally:
            self._polling.discard(key)

    async def _stored(self, release: Release, decision: RampDecision) -> str:
        at_s = self._wall_s()
        change = release.change(decision, at_s)
        problem = await self._store(release, change)
        if problem:
            return problem
        if release.version < change.release.version:  # else what the store told of it came first
            release.version = change.release.version
            release.done(decision, at_s)
        self._apply(release)
        self._said(release, decision)
        return ""

    def _said(self, release: Release, decision: RampDecision) -> None:
        spec = release.spec
        say = log.warning if decision.action in (*STOPS, "held") else log.info
        say(
            "release",
            model=spec.model,
            experiment=spec.name,
            arm=spec.arm,
            action=decision.action,
            share=decision.after,
            why=decision.sentence,
            by=decision.by or "(gate)",
        )
        facts = facts_of(release, decision)
        self._hooks.tell(spec.hooks, "event", facts)
        if decision.action in ENDS:
            self._hooks.tell(spec.hooks, "post-rollout", facts)


def facts_of(release: Release, decision: RampDecision | None) -> dict[str, Any]:
    """What webhooks hear: Flagger's fields, and the release's."""
    spec, ramp = release.spec, release.ramp
    facts: dict[str, Any] = {
        "name": spec.name,
        "namespace": spec.model,
        "phase": ramp.state,
        "checksum": spec.experiment,
        "model": spec.model,
        "arm": spec.arm,
        "share": ramp.share,
    }
    if decision is not None:
        facts["action"] = decision.action
        facts["share_after"] = decision.after
        facts["sentence"] = decision.sentence
        facts["by"] = decision.by
        facts["metadata"] = {"eventMessage": decision.sentence, "eventType": EVENT_TYPES.get(decision.action, "Normal")}
    return facts


EVENT_TYPES: Final = {"rollback": "Warning", "abort": "Warning", "held": "Warning"}
