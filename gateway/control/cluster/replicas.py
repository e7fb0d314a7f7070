"""The replicas of one engine that an orchestrator makes and removes: pure bookkeeping.

The orchestrator is told a number and nothing else, so it matters whom it removes when the number falls:

    chosen     whoever is marked goes first (a Deployment, with the right to mark pods)       drains, then the number
    ordered    the last goes first, by its number (a LeaderWorkerSet)                         drains, then the number
    neither    nobody knows (a Deployment without that right)                                 the number at once; what
               it picks finishes within its pod's grace, and gets nothing new from then on

Invariant: target = those that are kept + those that leave; those kept are ready or on their way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from gateway.control.actuator import Standing
from routing.autoscale.removal import Candidate, removed

GONE_S: Final = 120.0
"""For so long a replica that should have been removed is waited for; then another was, and it serves again."""
AGAIN_S: Final = 30.0
"""In about so many seconds an orchestrator tries a failed start again: kubelets wait 10 to 300."""
MADE_S: Final = 60.0
"""A pod is made within a second or two; one that is not by then is refused, by a quota or an admission hook."""


class ClusterReplicas:
    """See the module. `now` in seconds, never backwards."""

    def __init__(self, *, chosen: bool, ordered: bool, drain_s: float, prefix: str) -> None:
        """`prefix` begins the name of each replica that has a number."""
        self._chosen = chosen
        self._ordered = ordered
        self._drain_s = drain_s
        self._prefix = f"{prefix}-"
        self.target: int | None = None
        """What the workload should say; None until it has been read."""
        self.leaving: dict[str, float] = {}
        """Those that finish what they have, and since when."""
        self.going: dict[str, float] = {}
        """Those that the target counts no more and that are still there, and since when."""
        self._serving: frozenset[str] = frozenset()
        """Those that take requests, or would if they did not leave."""
        self._listed: frozenset[str] = frozenset()
        """Those and the unhealthy: found, and not ending by themselves."""
        self._coming: tuple[str, ...] = ()
        """The pods that do not serve yet, the oldest first, as far as pods may be listed."""
        self._since_s: dict[str, float] = {}
        self._slots_s: list[float] = []
        """When those were asked for that have no pod yet."""
        self.troubles: dict[str, str] = {}
        """Why the starts of some of them have failed."""

    # -- what is seen --------------------------------------------------------------------------------------------------

    def seen(self, listed: Collection[str], serving: Collection[str], now: float) -> list[str]:
        """The replicas that are found and do not end, and those of them that serve. Returns those that serve again,
        because they were not removed after all."""
        self._listed = frozenset(listed)
        self._serving = frozenset(serving)
        for marks in (self.leaving, self.going):
            for id in [id for id in marks if id not in self._listed]:
                del marks[id]
        again = [id for id, since_s in self.going.items() if now - since_s > GONE_S]
        for id in again:
            del self.going[id]
        return again

    def pods(self, coming: Iterable[str], troubles: Mapping[str, str], now: float) -> None:
        """The pods that do not serve yet, the oldest first, and why some of them never will."""
        self._coming = tuple(coming)
        self.troubles = dict(troubles)
        for id in self._coming:
            if id not in self._since_s:
                self._since_s[id] = self._slots_s.pop(0) if self._slots_s else now
        self._since_s = {id: at for id, at in self._since_s.items() if id in self._coming}

    def waited_s(self, pod: str, now: float) -> float:
        """For how long a pod has been seen on its way."""
        return now - self._since_s.get(pod, now)

    def adopt(self, replicas: int, leaving: Iterable[str], going: Iterable[str], now: float) -> None:
        """The workload says that there should be so many, whoever wrote it; these leave, and those are to be removed
        without being counted."""
        self.target = replicas
        self.leaving = {id: self.leaving.get(id, now) for id in leaving if id in self._listed}
        self.going = {id: self.going.get(id, now) for id in going if id in self._listed and id not in self.leaving}

    # -- what is wanted ------------------------------------------------------------------------------------------------

    @property
    def kept(self) -> int:
        """Those that there should be and that do not leave."""
        return max(0, (self.target or 0) - len(self.leaving)) if not self._ordered else self._kept_in_order()

    def standing(self, now: float) -> Standing:
        """How they are."""
        ready = self._ready()
        starting: dict[str, float] = {}
        missing = self.kept - len(ready)
        for id in self._coming[: max(0, missing)]:
            starting[id] = self._since_s.get(id, now)
        unmade = max(0, missing - len(starting))
        self._slots_s = [*self._slots_s, *[now] * unmade][:unmade]
        troubles = self.troubles
        for number, at in enumerate(self._slots_s, 1):
            starting[f"+{number}"] = at
            if now - at >= MADE_S:
                troubles = {**troubles, f"+{number}": f"no pod has been made for it in {now - at:.0f} s"}
        failing = [id for id in starting if id in troubles]
        return Standing(
            ready=ready,
            starting=starting,
            failing=failing,
            leaving=[*self.leaving],
            why=troubles[failing[0]] if failing else "",
            again_s=AGAIN_S if failing else 0.0,
        )

    def scale(self, wanted: int, in_flight: Mapping[str, int], now: float) -> tuple[list[str], list[str]]:
        """Keep so many. Returns whom to drain, and who serves again."""
        if self.target is None:
            return [], []
        drain, resume = self._in_order(wanted, now) if self._ordered else self._picked(wanted, in_flight, now)
        late = [id for id, since_s in self.leaving.items() if now - since_s >= self._drain_s]
        self.idle(late, now)
        return drain, resume

    def idle(self, ids: Collection[str], now: float) -> None:
        """These have nothing left: those that leave may go."""
        gone = [id for id in self.leaving if id in ids]
        if self._ordered:  # only the last can go, and those before it wait for it
            last_first = sorted(self.leaving, key=self._number, reverse=True)
            busy = next((at for at, id in enumerate(last_first) if id not in gone), len(last_first))
            gone = last_first[:busy]
        for id in gone:
            del self.leaving[id]
            self.going[id] = now
        if gone and self.target is not None:
            if self._ordered:
                self.target = max([self.target - len(gone), *(self._number(id) + 1 for id in self.leaving)], default=0)
            else:
                self.target -= len(gone)

    def release(self) -> list[str]:
        """Nobody is to leave any more. Returns who serves again."""
        back = [*self.leaving]
        self.leaving.clear()
        return back

    # -- who goes ------------------------------------------------------------------------------------------------------

    def _ready(self) -> list[str]:
        found = sorted(id for id in self._serving if id not in self.leaving and id not in self.going)
        return found[: self.kept]

    def _picked(self, wanted: int, in_flight: Mapping[str, int], now: float) -> tuple[list[str], list[str]]:
        assert self.target is not None
        back: list[str] = []
        drain: list[str] = []
        more = wanted - self.kept
        if more > 0:
            back = [*self.leaving][:more]
            for id in back:
                del self.leaving[id]
            self.target += more - len(back)
        elif more < 0 and not self._chosen:
            self.target += more
        elif more < 0:
            standing = self.standing(now)
            candidates = [Candidate(id, True, in_flight.get(id, 0)) for id in standing.ready]
            candidates += [Candidate(id, False, 0, since_s) for id, since_s in standing.starting.items()]
            for id in removed(candidates, -more):
                if id in standing.starting:
                    self.target -= 1
                else:
                    self.leaving[id] = now
                    drain.append(id)
        return drain, back

    def _in_order(self, wanted: int, now: float) -> tuple[list[str], list[str]]:
        assert self.target is not None
        back = [id for id in self.leaving if self._number(id) < wanted]
        for id in back:
            del self.leaving[id]
        drain = [
            id
            for id in sorted(self._listed)
            if wanted <= self._number(id) < self.target and id not in self.leaving and id not in self.going
        ]
        self.leaving.update(dict.fromkeys(drain, now))
        self.target = max([wanted, *(self._number(id) + 1 for id in self.leaving)])
        return drain, back

    def _kept_in_order(self) -> int:
        return min([self.target or 0, *(self._number(id) for id in self.leaving)])

    def _number(self, id: str) -> int:
        digits = id.removeprefix(self._prefix)
        return int(digits) if digits.isdecimal() and id.startswith(self._prefix) else -1
