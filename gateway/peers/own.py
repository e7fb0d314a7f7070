"""What this gateway has to do, summed over its workers, as it tells others: made at most every half second.

It is made in a task of its own: whoever asks and goes away again, or waits in vain, takes nothing from who asks next.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from engines.turns import own_turn
from gateway import clock
from gateway.control.asking.loads import Figures
from gateway.control.links import Links
from gateway.control.scaling.demand import ask_whole_demand, known_mean
from gateway.peers.answer import EngineLoad, LoadAnswer, ModelLoad
from gateway.settings import Settings
from gateway.workers.exchange.demand import AskDemand, Demand, EngineDemand, ModelDemand
from routing.autoscale.prediction import first_token_ms

FRESH_S: Final = 0.5
"""However many ask, workers are asked no more often."""
WORKERS_S: Final = 0.5
"""For so long workers are waited for: one that stalls has what it had, and those who ask wait no longer than 2 s."""
AT_ONCE: Final = 16
"""Engines, or models, to a turn of the loop."""
REPLICAS_AT_ONCE: Final = 1024
LATE_S: Final = 1.0
"""After so long the last document is answered again."""


class OwnLoad:
    """Told by one gateway."""

    def __init__(
        self,
        links: Links,
        settings: Callable[[], Settings],
        states: Callable[[], Mapping[tuple[str, str], int]],
        kv_usages: Callable[[], Figures],
        monotonic: Callable[[], float] = clock.monotonic,
        *,
        wakes: Callable[[str], int] = lambda _: 0,
        late_s: float = LATE_S,
    ) -> None:
        """`states` is how many replicas of each engine are in each state; `kv_usages` how full the cache of each is;
        `wakes` how often requests have come for an engine that had none."""
        self.gateway: Final = os.urandom(8).hex()
        self._links = links
        self._settings = settings
        self._states = states
        self._kv_usages = kv_usages
        self._wakes = wakes
        self._monotonic = monotonic
        self._late_s = late_s
        self._heard: dict[str, Demand] = {}
        self._answer = b""
        self._made_s = float("-inf")
        self._making: asyncio.Future[None] | None = None

    async def document(self) -> bytes:
        """The answer of this moment, as JSON."""
        if self._monotonic() - self._made_s >= FRESH_S:
            if self._making is None or self._making.done():
                self._making = asyncio.ensure_future(self._make())
            # `wait` leaves the task alone, whatever becomes of who waits.
            await asyncio.wait([self._making], timeout=self._late_s if self._answer else None)
            if self._making.done():
                self._making.result()
        return self._answer

    async def close(self) -> None:
        """Make no document any more."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])

    async def _make(self) -> None:
        self._answer = msgspec.json.encode(await self._made())
        self._made_s = self._monotonic()

    async def _made(self) -> LoadAnswer:
        settings = self._settings()
        told = await ask_whole_demand(self._links, AskDemand(list(settings.engines), models=True), WORKERS_S)
        heard = {worker: demand or self._heard.get(worker) for worker, demand in told.items()}
        self._heard = {worker: demand for worker, demand in heard.items() if demand is not None}
        states = self._states()
        usages: dict[str, list[float]] = {}
        for at, ((engine, _), usage) in enumerate(self._kv_usages(), 1):
            usages.setdefault(engine, []).append(usage)
            if at % REPLICAS_AT_ONCE == 0:
                await own_turn()
        await own_turn()
        served: dict[str, list[EngineDemand]] = {}
        models: dict[str, list[ModelDemand]] = {}
        for demand in self._heard.values():
            for each in demand.engines:
                served.setdefault(each.engine, []).append(each)
            for one in demand.models:
                models.setdefault(one.model, []).append(one)
        engines: dict[str, EngineLoad] = {}
        for at, (name, section) in enumerate(settings.engines.items(), 1):
            told_of = usages.get(name)
            kv = sum(told_of) / len(told_of) if told_of else None
            ready = states.get((name, "ready"), 0)
            engines[name] = _engine(name, served.get(name, []), ready, kv, section.autoscale is not None)
            engines[name].wakes = self._wakes(name)
            if at % AT_ONCE == 0:
                await own_turn()
        loads: list[ModelLoad] = []
        for at, (name, model) in enumerate(settings.models.items(), 1):
            loads.append(_model(name, models.get(name, []), engines, model.slo.ttft_ms))
            if at % AT_ONCE == 0:
                await own_turn()
        return LoadAnswer(gateway=self.gateway, engines=list(engines.values()), models=loads)


def _engine(name: str, demands: list[EngineDemand], ready: int, kv: float | None, follows: bool) -> EngineLoad:
    replicas: dict[str, tuple[int, int]] = {}
    for one in demands if follows else ():
        for id, requests, drains in one.replicas:
            before = replicas.get(id, (0, 0))
            replicas[id] = before[0] + requests, before[1] + drains
    return EngineLoad(
        engine=name,
        ready_replicas=ready,
        in_flight_requests=sum([one.in_flight for one in demands]),
        in_flight_tokens=sum([one.in_flight_tokens for one in demands]),
        prefill_tokens=sum([one.prefill_tokens for one in demands]),
        queue_requests=sum([one.waiting for one in demands]),
        queue_prompt_tokens=sum([one.waiting_tokens for one in demands]),
        ended_requests=sum([one.ended for one in demands]),
        ended_prompt_tokens=sum([one.ended_tokens for one in demands]),
        ended_output_tokens=sum([one.ended_output_tokens for one in demands]),
        prefill_ms_per_token=known_mean([one.ms_per_token for one in demands]),
        ttft_base_ms=known_mean([one.base_ms for one in demands]),
        decode_ms_per_token=known_mean([one.decode_ms_per_token for one in demands]),
        kv_usage_ratio=kv,
        replicas=[(id, requests, drains == len(demands)) for id, (requests, drains) in replicas.items()],
    )


def _model(name: str, demands: list[ModelDemand], engines: Mapping[str, EngineLoad], slo_ms: float | None) -> ModelLoad:
    asked = sorted({engine for one in demands for engine in one.engines if engine in engines})
    ended, tokens = sum([one.ended for one in demands]), sum([one.ended_tokens for one in demands])
    in_flight, waiting = sum([one.in_flight for one in demands]), sum([one.waiting for one in demands])
    loads = [engines[engine] for engine in asked]
    return ModelLoad(
        model=name,
        engines=asked,
        queue_requests=waiting,
        queue_tokens=sum([one.waiting_tokens for one in demands]),
        in_flight_requests=in_flight,
        in_flight_tokens=sum([one.in_flight_tokens for one in demands]),
        arrived_requests=ended + in_flight + waiting,
        ended_requests=ended,
        ended_prompt_tokens=tokens,
        ended_output_tokens=sum([one.ended_output_tokens for one in demands]),
        ttft_ms=_least([_predicted(load, tokens / ended if ended else 0.0) for load in loads]),
        slo_ttft_ms=slo_ms,
        kv_usage_ratio=_together(loads),
    )


def _predicted(load: EngineLoad, usual_tokens: float) -> float | None:
    return first_token_ms(
        ready=load.ready_replicas,
        ahead_tokens=load.prefill_tokens + load.queue_prompt_tokens,
        prompt_tokens=usual_tokens,
        ms_per_token=load.prefill_ms_per_token,
        base_ms=load.ttft_base_ms,
    )


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _together(loads: list[EngineLoad]) -> float | None:
    known = [(load.kv_usage_ratio, load.ready_replicas) for load in loads if load.kv_usage_ratio is not None]
    replicas = sum([count for _, count in known])
    return sum([ratio * count for ratio, count in known]) / replicas if replicas else None
