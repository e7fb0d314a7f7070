"""Engines whose replicas somebody else writes, KEDA or an HPA, by the number that we tell whoever asks.

What was decided counts as on its way until it is there. Replicas above it are leaving: the other side has its own
pace, and takes away whom it likes; what ends gets nothing new, by discovery. Where it keeps more than was decided for
`STAYS_S`, bounds of its own are why, and what is there is what is decided from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from gateway.control.membership import Found
from gateway.control.scaling.actuator import Standing
from gateway.settings import Settings

STAYS_S: Final = 120.0
"""KEDA asks every 15 s, an HPA every 15 s more, and pods then end one by one."""


class Roll(Protocol):
    """Who serves each engine, as the control plane knows it."""

    def found(self, engine: str) -> Found:
        """Its replicas."""


class _Advised:
    def __init__(self) -> None:
        self.wanted: int | None = None
        """None until anything has been decided."""
        self.coming: list[float] = []
        """Since when each that is on its way has been."""
        self.unwell: dict[str, float] = {}
        """Since when each that is there does not answer."""
        self.above_s: float | None = None
        """Since when there have been more than are wanted."""


class AdvisedScaling:
    """Satisfies `gateway.control.scaling.actuator.Actuator`."""

    def __init__(self, roll: Roll) -> None:
        self._roll = roll
        self._engines: dict[str, _Advised] = {}
        self.changed: Callable[[str], None] = lambda _: None
        """Told of an engine when another number is wanted."""

    def use(self, settings: Settings) -> None:
        """Advise what these settings say. What is known of an engine that stays is kept."""
        self._engines = {
            name: self._engines.get(name) or _Advised()
            for name, section in settings.engines.items()
            if section.autoscale is not None
            and section.autoscale.kubernetes is None
            and section.autoscale.sleep is None
            and section.found_at is not None
        }

    def scales(self, engine: str) -> bool:
        """Whether it is one of these."""
        return engine in self._engines

    @property
    def engines(self) -> Collection[str]:
        """Their names."""
        return self._engines.keys()

    def wanted(self, engine: str) -> int | None:
        """How many it should have; None where nothing has been decided yet."""
        one = self._engines.get(engine)
        return one.wanted if one is not None else None

    # -- gateway.control.scaling.actuator.Actuator ---------------------------------------------------------------------

    def acts(self, engine: str) -> bool:
        return engine in self._engines

    def standing(self, engine: str, now: float) -> Standing:
        one = self._engines.get(engine)
        if one is None:
            return Standing()
        found = self._roll.found(engine)
        there, healthy = [id for id in found.there if id not in found.ending], found.serving
        quiet = [id for id in there if id not in healthy and id not in found.held]
        one.unwell = {id: one.unwell.get(id, now) for id in quiet}
        if one.wanted is None:
            return Standing(ready=list(healthy), starting=_unwell(one, len(one.unwell)))
        missing = max(0, one.wanted - len(there))
        one.coming = one.coming[len(one.coming) - missing :] if missing < len(one.coming) else one.coming
        one.coming += [now] * (missing - len(one.coming))
        if len(there) <= one.wanted:
            one.above_s = None
        elif one.above_s is None:
            one.above_s = now
        stays = one.above_s is not None and now - one.above_s > STAYS_S
        ready = sorted(healthy)
        kept = len(ready) if stays else min(len(ready), one.wanted)
        coming = {f"coming {number}": since_s for number, since_s in enumerate(one.coming)}
        return Standing(ready=ready[:kept], starting=coming | _unwell(one, one.wanted - kept), leaving=ready[kept:])

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        one = self._engines.get(engine)
        if one is None or one.wanted == wanted:
            return
        one.wanted = wanted
        one.above_s = None
        self.standing(engine, now)
        self.changed(engine)

    def idle(self, engine: str, ids: Collection[str]) -> None:
        """Whoever writes the number takes them away."""

    def release(self, engine: str) -> None:
        self._engines.pop(engine, None)


def _unwell(one: _Advised, most: int) -> dict[str, float]:
    """Those count, or one probe that fails would send an idle engine to zero. Not by their ids: what recovers has not
    started, and tells nothing of how long a start takes."""
    return {f"unwell {id}": since_s for id, since_s in list(one.unwell.items())[:most]}
