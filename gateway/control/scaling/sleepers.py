"""Which replicas of one engine sleep, or are about to: bookkeeping over what somebody else starts and stops.

    awake --fewer are wanted--> DRAINING --nothing left--> FALLING --> ASLEEP --more are wanted--> WAKING --> awake
                                                               \\--> PARKED (it cannot sleep now: it is kept from
                                                                    requests, and tried again)
    UNKNOWN: it has just been found, and has not said yet whether it sleeps

Only awake ones have no entry here, and only they get requests. Whoever is there and awake serves before anybody is
woken, and whoever sleeps is woken before any is started.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from engines import sleeping
from engines.kinds.autoscaling import SleepSection
from gateway import clock
from gateway.control.scaling.actuator import Standing
from gateway.refusing import shortage

AGAIN_S: Final = 30.0
"""After so long a sleep or a wake that failed is tried again, twice as long with each that fails in a row."""
MOST_AGAIN_S: Final = 600.0
MOST_MOVE_S: Final = sleeping.MOVES.first_byte_s
"""What another gateway has begun has come to an end after so long, whether or not it is still there."""


SLEEPS: Final = 'penstock_replica_sleeps_total{result="shortage"}'


def tell_short(why: str) -> None:
    """A replica could not be asked, for want of descriptors, local ports or memory of our own."""
    shortage.tell(clock.monotonic(), why, SLEEPS)


class Phase(Enum):
    """Where a replica is; the value is for logs."""

    UNKNOWN = "unknown"
    DRAINING = "draining"
    FALLING = "falling asleep"
    ASLEEP = "asleep"
    PARKED = "parked"
    WAKING = "waking"


@dataclass(slots=True)
class Sleeper:
    """One replica that is not simply awake."""

    phase: Phase
    since_s: float
    level: int | None = None
    """Of its sleep, where it was us who put it to sleep."""
    back: bool = False
    """Whether it is to wake as soon as it sleeps."""
    failures: int = 0
    """Wakes, or sleeps, that have failed in a row."""
    again_s: float = 0.0
    """When the next may be tried."""
    why: str = ""
    elsewhere: bool = False
    """Whether another gateway has it fall asleep or wake: it is asked how far it is."""

    def failed(self, phase: Phase, why: str, now: float) -> None:
        """It is in this phase again, and left alone for a while."""
        pause_s = min(MOST_AGAIN_S, AGAIN_S * 2.0 ** min(self.failures, 16))
        self.phase, self.since_s, self.why, self.back = phase, now, why, False
        self.failures += 1
        self.again_s = now + pause_s


class Sleepers:
    """Those of one engine."""

    def __init__(self, section: SleepSection) -> None:
        self.section = section
        self.chosen = True
        """Whether whoever stops replicas takes those that are to go first."""
        self.acted = False
        """Whether this gateway was the one that acts when it last looked."""
        self.by_id: dict[str, Sleeper] = {}
        self._unable = ""
        self._unable_until_s = 0.0
        self._begun: dict[str, float] = {}
        """Those that were starting when they were last looked at, and since when."""

    def cannot(self, why: str, now: float) -> None:
        """One could not be put to sleep: no other is tried for a while."""
        self._unable, self._unable_until_s = why, now + AGAIN_S

    def unable(self, now: float) -> str:
        """Why none is put to sleep now; empty where it is tried."""
        return self._unable if now < self._unable_until_s else ""

    def of(self, *phases: Phase) -> list[str]:
        """Those in one of these phases."""
        return [id for id, one in self.by_id.items() if one.phase in phases]

    def keep(self, there: Collection[str]) -> None:
        """All others have left."""
        for id in [id for id in self.by_id if id not in there]:
            del self.by_id[id]

    @property
    def coming(self) -> dict[str, float]:
        """Those that will be awake without anybody's doing, and since when they are on their way."""
        return {
            id: one.since_s
            for id, one in self.by_id.items()
            if one.phase is Phase.WAKING or (one.phase is Phase.FALLING and one.back)
        }

    def standing(self, inner: Standing, now: float) -> Standing:
        """How the engine stands, where `inner` is how it would if nobody slept."""
        coming = self.coming
        unknown = self.of(Phase.UNKNOWN)
        starts = {**{id: at for id, at in self._begun.items() if id in unknown}, **inner.starting}
        self._begun = starts
        asleep = [id for id in self.of(Phase.ASLEEP, Phase.FALLING, Phase.PARKED) if id in inner.ready]
        asleep = [id for id in asleep if id not in coming]
        standing = replace(
            inner,
            ready=[id for id in inner.ready if id not in self.by_id],
            starting={**starts, **coming},
            leaving=[*inner.leaving, *self.of(Phase.DRAINING)],
            asleep=asleep,
            waking=[*coming],
        )
        stuck = {id: self.by_id[id] for id in asleep if self.by_id[id].failures and self.by_id[id].why}
        problem = inner.problem or self.unable(now) or next((one.why for one in stuck.values()), "")
        if standing.ready or standing.starting or not stuck or len(stuck) < len(asleep):
            return replace(standing, problem=problem)
        # Nobody serves, and those that could do not wake: whoever waits is told.
        return replace(
            standing,
            starting={id: one.since_s for id, one in stuck.items()},
            failing=[*stuck],
            why=next(iter(stuck.values())).why,
            again_s=max(0.0, min([one.again_s for one in stuck.values()]) - now),
            problem=problem,
        )

    def to_wake(self, inner: Standing, now: float) -> list[str]:
        """Those that may be woken: those that have not failed first, then those that may be tried again."""
        able = [id for id in self.of(Phase.ASLEEP) if id in inner.ready and self.by_id[id].again_s <= now]
        return sorted(able, key=lambda id: (self.by_id[id].failures, id))

    def resting(self, inner: Standing) -> list[str]:
        """Those that are there for nobody, or will be, and that nobody stops."""
        phases = (Phase.DRAINING, Phase.FALLING, Phase.ASLEEP, Phase.PARKED)
        coming = self.coming
        return [id for id in self.of(*phases) if id in inner.ready and id not in coming]

    def told(self) -> tuple[list[str], list[str]]:
        """What whoever acts tells the others: those that may serve again at once, and those that may not, because they
        fall asleep or sleep. Those that are being woken are in both."""
        waking = self.of(Phase.WAKING)
        return (
            sorted([*self.of(Phase.DRAINING, Phase.PARKED), *waking]),
            sorted([*self.of(Phase.FALLING, Phase.ASLEEP), *waking]),
        )

    def follow(self, leaving: Collection[str], moved: Collection[str], now: float) -> tuple[list[str], list[str]]:
        """Whoever acts has told this. Returns who is new, and who is so no more."""
        parted = (Phase.DRAINING, Phase.PARKED)
        followed = {id for id, one in self.by_id.items() if one.elsewhere or one.phase in parted}
        known = followed.union(self.of(Phase.UNKNOWN))
        new: list[str] = []
        for id in sorted({*leaving, *moved}):
            phase = Phase.DRAINING
            if id in moved:
                phase = Phase.WAKING if id in leaving else Phase.FALLING
            if id not in self.by_id:
                new.append(id)
            elif id not in known or self.by_id[id].phase is phase:
                continue  # what it has said itself is newer
            self.by_id[id] = Sleeper(phase, now, elsewhere=phase is not Phase.DRAINING)
        over = sorted(followed.difference(leaving, moved))
        for id in over:
            del self.by_id[id]
        return new, over
