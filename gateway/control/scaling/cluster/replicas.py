"""The replicas of one engine that an orchestrator makes and removes: pure bookkeeping.

The orchestrator is told a number and nothing else, so it matters whom it removes when the number falls:

    chosen     whoever is marked goes first (a Deployment, with the right to mark pods)       drains, then the number
    ordered    the last goes first, by its number (a LeaderWorkerSet)                         drains, then the number
    neither    nobody knows (a Deployment without that right)                                 the number at once; what
               it picks finishes within its pod's grace, and gets nothing new from then on

Invariant: target = those that are kept + those that leave + those that an operator drains; those kept are ready or on
their way. Whoever leaves, or is
to be removed, drains for as long as it is there, also while its probes fail for a moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from gateway.control.membership import Found
from gateway.control.scaling.actuator import Standing
from routing.autoscale.removal import Removable, removed

GONE_S: Final = 120.0
"""For so long a replica is waited for after the number without it was written; then another was removed, and it serves
again. For as long a number that cannot be written is held against it; then it is counted, and serves, again."""
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
        """All that are there: those, the unhealthy and those that end."""
        self._ending: frozenset[str] = frozenset()
        """Those of which the orchestrator says that they get nothing new: deleted, or not ready for a moment."""
        self._held: frozenset[str] = frozenset()
        """Those that an operator drains: the number counts them, and others serve in their place."""
        self._uncounted: set[str] = set()
        """Those that are going and whom the workload's number, as far as we know, still counts."""
        self._coming: tuple[str, ...] = ()
        """The pods that do not serve yet, the oldest first, when pods were listed last."""
        self._pods_s = float("-inf")
        """When that was."""
        self._since_s: dict[str, float] = {}
        self._slots_s: list[float] = []
        """When those were asked for that have no pod yet."""
        self.troubles: dict[str, str] = {}
        """Why the starts of some of them have failed."""

    # -- what is seen --------------------------------------------------------------------------------------------------

    def seen(self, found: Found, now: float, *, unsure: bool = False) -> None:
        """The replicas that there are. `unsure`: a number was sent, and nobody knows whether it was written."""
        self._listed = frozenset(found.there)
        self._ending = frozenset(found.ending)
        self._serving = frozenset(found.serving)
        self._held = frozenset(found.held)
        for marks in (self.leaving, self.going):
            for id in [id for id in marks if id not in self._listed]:
                del marks[id]
        self._uncounted &= self.going.keys()
        for id in [id for id, since_s in self.going.items() if now - since_s > GONE_S and id not in self._ending]:
            if id not in self._uncounted:
                del self.going[id]
            elif not unsure:
                del self.going[id]
                self._uncounted.discard(id)
                assert self.target is not None
                self.target = max(self.target, self._number(id) + 1) if self._ordered else self.target + 1

    def counted(self, going: Iterable[str], now: float) -> None:
        """The workload's number was written without these."""
        for id in going:
            if id in self._uncounted:
                self._uncounted.discard(id)
                self.going[id] = now

    def pods(self, coming: Iterable[str], troubles: Mapping[str, str], now: float) -> None:
        """The pods that do not serve yet, the oldest first, and why some of them never will."""
        self._pods_s = now
        self._coming = tuple(coming)
        self.troubles = dict(troubles)
        for id in self._coming:
            if id not in self._since_s:
                self._since_s[id] = self._slots_s.pop(0) if self._slots_s else now
        self._since_s = {id: at for id, at in self._since_s.items() if id in self._coming}

    def arrived(self) -> None:
        """Nobody is on the way."""
        self._coming, self.troubles = (), {}
        self._since_s.clear()

    def waited_s(self, pod: str, now: float) -> float:
        """For how long a pod has been seen on its way."""
        return now - self._since_s.get(pod, now)

    def adopt(self, replicas: int, leaving: Iterable[str], going: Iterable[str], now: float) -> None:
        """The workload says that there should be so many, whoever wrote it; these leave, and those are to be removed
        without being counted. Of those that leave no more are counted than there should be; those of the latter that
        the number counted until now it still counts."""
        back = [id for id in going if id in self._uncounted]
        self.target = replicas
        self.follow([*leaving, *back], [id for id in going if id not in back], now)
        over = [id for id in self.leaving if self._number(id) >= replicas] if self._ordered else [*self.leaving]
        for id in over if self._ordered else over[: max(0, len(over) - replicas)]:
            del self.leaving[id]
            self.going[id] = now

    def follow(self, leaving: Iterable[str], going: Iterable[str], now: float) -> None:
        """Whoever acts has these leave, and those go."""
        self.leaving = {id: self.leaving.get(id, now) for id in leaving if id in self._listed}
        self.going = {id: self.going.get(id, now) for id in going if id in self._listed and id not in self.leaving}
        self._uncounted.clear()

    # -- what is wanted ------------------------------------------------------------------------------------------------

    @property
    def kept(self) -> int:
        """Those that there should be and that neither leave nor are held by an operator."""
        held = self._held - self.leaving.keys() - self.going.keys()
        if self._ordered:
            least = min([self.target or 0, *(self._number(id) for id in self.leaving)])
            return least - sum([self._number(id) < least for id in held])
        return max(0, (self.target or 0) - len(self.leaving) - len(held))

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
            if self._pods_s - at >= MADE_S:
                troubles = {**troubles, f"+{number}": f"no pod has been made for it in {self._pods_s - at:.0f} s"}
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
        self._go([id for id, since_s in self.leaving.items() if now - since_s >= self._drain_s], now)
        return drain, resume

    def idle(self, ids: Collection[str], now: float) -> None:
        """These have nothing left: those that leave may go. One that the orchestrator has end may have been replaced
        already, and the number would then fall for another: it is waited for until it is gone, or is ready again."""
        self._go([id for id in self.leaving if id in ids and id not in self._ending], now)

    def _go(self, gone: list[str], now: float) -> None:
        if self._ordered:  # only the last can go, and those before it wait for it
            last_first = sorted(self.leaving, key=self._number, reverse=True)
            busy = next((at for at, id in enumerate(last_first) if id not in gone), len(last_first))
            gone = last_first[:busy]
        for id in gone:
            del self.leaving[id]
            self.going[id] = now
            self._uncounted.add(id)
        if gone and self.target is not None:
            least = [self._number(id) + 1 for id in self.leaving] if self._ordered else []
            self.target = max([0, self.target - len(gone), *least])

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
            candidates = [Removable(id, True, in_flight.get(id, 0)) for id in standing.ready]
            candidates += [Removable(id, False, 0, since_s) for id, since_s in standing.starting.items()]
            for id in removed(candidates, -more):
                if id in standing.starting:
                    self.target -= 1
                else:
                    self.leaving[id] = now
                    drain.append(id)
        return drain, back

    def _in_order(self, wanted: int, now: float) -> tuple[list[str], list[str]]:
        assert self.target is not None
        for number in sorted([self._number(id) for id in self._held]):
            wanted += 0 <= number < wanted  # another serves in its place
        back = [id for id in (*self.leaving, *self.going) if self._number(id) < wanted]
        for id in back:  # whom the number counts again stays, or is made again under its name
            self.leaving.pop(id, None)
            self.going.pop(id, None)
            self._uncounted.discard(id)
        drain = [
            id
            for id in sorted(self._listed)
            if wanted <= self._number(id) < self.target and id not in self.leaving and id not in self.going
        ]
        self.leaving.update(dict.fromkeys(drain, now))
        self.target = max([wanted, *(self._number(id) + 1 for id in self.leaving)])
        return drain, back

    def _number(self, id: str) -> int:
        digits = id.removeprefix(self._prefix)
        return int(digits) if digits.isdecimal() and id.startswith(self._prefix) else -1
