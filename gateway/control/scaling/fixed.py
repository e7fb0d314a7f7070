"""Engines whose replicas nobody starts or stops, written down or found: they can sleep, and that is all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from gateway.control.membership import Found
from gateway.control.scaling.actuator import Standing
from gateway.settings import Settings


class FixedScaling:
    """Satisfies `gateway.control.scaling.actuator.Actuator`."""

    def __init__(self, found: Callable[[str], Found], leads: Callable[[], bool]) -> None:
        """`found` is who serves an engine; `leads`, whether of several gateways this one acts."""
        self._found = found
        self._leads = leads
        self._engines: frozenset[str] = frozenset()

    def use(self, settings: Settings) -> None:
        """These settings are in use from now on."""
        self._engines = frozenset(
            name
            for name, section in settings.engines.items()
            if section.autoscale is not None
            and section.autoscale.sleep is not None
            and section.autoscale.kubernetes is None
            and (section.writes_replicas or section.found_at is not None)
        )

    def scales(self, engine: str) -> bool:
        """Whether it is one of these."""
        return engine in self._engines

    def acts(self, engine: str) -> bool:
        return self._leads()

    def standing(self, engine: str, now: float) -> Standing:
        return Standing(ready=sorted(self._found(engine).serving))

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        """There is nobody to start or stop."""

    def idle(self, engine: str, ids: Collection[str]) -> None:
        """Nor then."""

    def release(self, engine: str) -> None:
        """Nor then."""
