"""What KEDA is answered: the number of the autoscaler itself.

    GetMetricSpec     penstock_replicas_wanted, 1 for each replica: so KEDA's HPA computes ceil(N / 1) = N
    GetMetrics        N, the replicas that the engine should have
    IsActive          N > 0: whether there should be any at all
    StreamIsActive    the same at once, and whenever it changes: a request that waits is not left to KEDA's next poll

Which engine is meant stands in the trigger's metadata, `engine`. Before the first decision nothing is answered, which
KEDA takes for a failure and changes nothing by: a gateway that has just started must not send an engine to zero.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import Final, Protocol

from gateway.scaler import wire
from gateway.telemetry.metrics.families.replicas import REPLICAS_WANTED

METRIC: Final = REPLICAS_WANTED.name
ENGINE: Final = "engine"
MOST_SHOWN: Final = 20


class Advises(Protocol):
    """Whoever decides: `gateway.control.scaling.advised.AdvisedScaling`."""

    @property
    def engines(self) -> Collection[str]:
        """Those whose replicas KEDA writes."""

    def wanted(self, engine: str) -> int | None:
        """How many it should have; None where nothing has been decided yet."""


class NotAsked(Exception):
    """The question makes no sense; the message is for whoever wrote the ScaledObject."""


class NotYet(Exception):
    """There is no answer yet; the message says why."""


class ScalerService:
    """Answers; `gateway.scaler.server` speaks gRPC."""

    def __init__(self, advises: Advises) -> None:
        self._advises = advises
        self._streams: set[asyncio.Event] = set()

    def changed(self, _: str) -> None:
        """Another number is wanted of an engine."""
        for stream in self._streams:
            stream.set()

    def is_active(self, ref: wire.ScaledObjectRef) -> bytes:
        """Raises NotAsked or NotYet, as all of these."""
        return wire.is_active(self._wanted(ref) > 0)

    def metric_spec(self, ref: wire.ScaledObjectRef) -> bytes:
        self._engine(ref)
        return wire.metric(METRIC, 1)

    def metrics(self, ref: wire.ScaledObjectRef, name: str) -> bytes:
        if name != METRIC:
            raise NotAsked(f"there is no metric {name[:128]!r}: it is called {METRIC}")
        return wire.metric(METRIC, self._wanted(ref))

    async def active_changes(self, ref: wire.ScaledObjectRef) -> AsyncGenerator[bytes, None]:
        """Whether it should be active: now, as soon as that is known, and at each change."""
        engine = self._engine(ref)
        stream = asyncio.Event()
        self._streams.add(stream)
        told: bool | None = None
        try:
            while True:
                stream.clear()
                wanted = self._advises.wanted(engine)
                if wanted is not None and (wanted > 0) != told:
                    told = wanted > 0
                    yield wire.is_active(told)
                await stream.wait()
        finally:
            self._streams.discard(stream)

    def _wanted(self, ref: wire.ScaledObjectRef) -> int:
        engine = self._engine(ref)
        wanted = self._advises.wanted(engine)
        if wanted is None:
            raise NotYet(f"nothing has been decided for {engine} yet")
        return wanted

    def _engine(self, ref: wire.ScaledObjectRef) -> str:
        engine = ref.metadata.get(ENGINE)
        if engine is not None and engine in self._advises.engines:
            return engine
        known = sorted(self._advises.engines)
        listed = ", ".join(known[:MOST_SHOWN]) or "none"
        what = (
            f"the trigger's metadata has no `{ENGINE}`"
            if engine is None
            else f"no engine {engine[:128]!r} is scaled so"
        )
        raise NotAsked(f"{what}; there is: {listed}")
