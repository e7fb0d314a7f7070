"""Each engine by the one that can make its replicas more or fewer, and what is behind the names of those that sleep."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from gateway.control.scaling.actuator import Actuator, Standing
from gateway.control.scaling.advised import AdvisedScaling
from gateway.control.scaling.cluster.scaling import ClusterScaling
from gateway.control.scaling.fixed import FixedScaling
from gateway.control.scaling.launched import LaunchScaling

if TYPE_CHECKING:
    from engines.port import Engine
    from gateway.control.asking.loads import EngineLoads
    from gateway.control.engines import Engines
    from gateway.control.launches import Launches


class Actuators:
    """Satisfies `gateway.control.scaling.actuator.Actuator`."""

    def __init__(
        self, launched: LaunchScaling, cluster: ClusterScaling, advised: AdvisedScaling, fixed: FixedScaling
    ) -> None:
        """Whoever is none of the cluster's, of the advised or of the fixed is launched here."""
        self._launched = launched
        self._cluster = cluster
        self._advised = advised
        self._fixed = fixed

    def _of(self, engine: str) -> Actuator:
        if self._cluster.scales(engine):
            return self._cluster
        if self._fixed.scales(engine):
            return self._fixed
        return self._advised if self._advised.scales(engine) else self._launched

    def acts(self, engine: str) -> bool:
        return self._of(engine).acts(engine)

    def standing(self, engine: str, now: float) -> Standing:
        return self._of(engine).standing(engine, now)

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        self._of(engine).scale(engine, wanted, in_flight, now)

    def idle(self, engine: str, ids: Collection[str]) -> None:
        self._of(engine).idle(engine, ids)

    def release(self, engine: str) -> None:
        self._of(engine).release(engine)


class Servers:
    """Satisfies `gateway.control.scaling.sleep_ports.Servers`: what is behind the names, of one plane."""

    def __init__(self, engines: Engines, launches: Launches, fixed: FixedScaling, loads: EngineLoads) -> None:
        self._engines = engines
        self._launches = launches
        self._fixed = fixed
        self._loads = loads

    def engine(self, name: str) -> Engine | None:
        return self._engines.named(name)

    def launched(self, engine: str) -> bool:
        return self._launches.launcher(engine) is not None

    def fixed(self, engine: str) -> bool:
        return self._fixed.scales(engine)

    def restart(self, engine: str, replica: str) -> None:
        launcher = self._launches.launcher(engine)
        if launcher is not None:
            launcher.remove([replica])

    def emptied(self, engine: str, replica: str) -> None:
        self._loads.emptied(engine, replica)
