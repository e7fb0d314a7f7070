"""From what workers count to what the autoscaler is told: sums over workers, and what has come since the look before.

Nothing is counted for it on the way of a request: what has come is what has ended, and what is there more than before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from gateway.control.links import Links
from gateway.control.scaling.actuator import Standing
from gateway.peers.board import PEER
from gateway.workers.exchange.demand import AskDemand, Demand, EngineDemand
from routing.autoscale.prediction import USUAL_TOKENS, first_token_ms
from routing.autoscale.signals import Signals, Speed
from routing.replicas.rates import SEED_BASE_MS, SEED_MS_PER_TOKEN

PeersDemands = Callable[[Sequence[str]], Mapping[str, Sequence[EngineDemand]]]
"""What other gateways have to do for these engines, by who they are."""
ANSWER_S: Final = 2.0
_WEIGHT_REQUESTS: Final = 200.0


async def ask_demand(links: Links, engines: list[str]) -> dict[str, list[EngineDemand] | None]:
    """What each worker that is here has to do for these engines; None of one that did not answer in time."""
    told = await ask_whole_demand(links, AskDemand(engines))
    return {worker: demand.engines if demand is not None else None for worker, demand in told.items()}


async def ask_everybody(
    links: Links, engines: list[str], peers: PeersDemands
) -> dict[str, Sequence[EngineDemand] | None]:
    """The same of each worker that is here, and of the other gateways."""
    return {**await ask_demand(links, engines), **peers(engines)}


async def ask_whole_demand(links: Links, question: AskDemand, timeout_s: float = ANSWER_S) -> dict[str, Demand | None]:
    """The whole answer of each worker that is here; None of one that did not answer in time."""
    answers = await links.ask_all(question, Demand, timeout_s=timeout_s, bulk=True)
    told = {worker: answer for worker, answer in answers.items() if isinstance(answer, Demand)}
    return {worker: told.get(worker) for worker in links}


class EngineTraffic:
    """What is remembered of one engine between looks."""

    def __init__(self) -> None:
        self._heard: dict[str, EngineDemand] = {}
        """By worker, what it told last: one that misses a look has lost nothing of what it has."""
        self._tokens = 0.0
        self._output_tokens = 0.0
        self._ms_per_token = self._base_ms = self._decode_ms = 0.0

    def signals(
        self,
        told: Mapping[str, EngineDemand],
        standing: Standing,
        startup_s: float,
        kv: float | None,
        now: float,
        wake_s: float = 0.0,
    ) -> Signals:
        """The look of this moment. `told` by worker; one that has not answered has what it had, and nothing new."""
        for worker, one in told.items():
            if worker.startswith(PEER):
                self._heard.setdefault(worker, one)  # what a gateway had before it was met has not come just now
        arrived = 0
        for worker, one in told.items():
            before = self._heard.get(worker)
            arrived += max(0, _came(one) - (_came(before) if before is not None else 0))
        self._learn(told)
        self._heard.update(told)
        demands = list(self._heard.values())
        speed = self.speed
        waiting_tokens = sum([one.prefill_tokens + one.waiting_tokens for one in demands])
        waiting = sum([one.waiting for one in demands])
        ready = len(standing.ready)
        ttft_ms = first_token_ms(
            ready=ready,
            ahead_tokens=waiting_tokens,
            prompt_tokens=self._tokens,
            ms_per_token=self._ms_per_token,
            base_ms=self._base_ms,
        )
        return Signals(
            ready=ready,
            starting_s=[
                (wake_s if id in standing.waking else startup_s) - (now - since_s)
                for id, since_s in standing.starting.items()
            ],
            arrived_requests=float(arrived),
            arrived_tokens=arrived * (self._tokens or USUAL_TOKENS),
            backlog_tokens=float(waiting_tokens),
            backlog_requests=float(waiting),
            in_flight=float(waiting + sum([one.in_flight for one in demands])),
            speed=speed,
            kv_usage_ratio=kv,
            ttft_ms=ttft_ms,
            failing=len(standing.failing),
            asleep=len(standing.asleep),
        )

    def forget(self, workers: Iterable[str]) -> None:
        """Of workers only these are left."""
        left = set(workers)
        self._heard = {worker: one for worker, one in self._heard.items() if worker in left}

    def in_flight(self) -> dict[str, int]:
        """Requests at each replica, as far as each worker that is left told last."""
        counts: dict[str, int] = {}
        for one in self._heard.values():
            for id, requests, _ in one.replicas:
                counts[id] = counts.get(id, 0) + requests
        return counts

    def _learn(self, told: Mapping[str, EngineDemand]) -> None:
        """The usual lengths, and the speeds: means over the workers that know any."""
        more = tokens = output = 0
        for worker, one in told.items():
            before = self._heard.get(worker)
            more += one.ended - (before.ended if before is not None else 0)
            tokens += one.ended_tokens - (before.ended_tokens if before is not None else 0)
            output += one.ended_output_tokens - (before.ended_output_tokens if before is not None else 0)
        demands = told.values()
        if more > 0 and tokens > 0:
            weight = min(1.0, more / _WEIGHT_REQUESTS) if self._tokens else 1.0
            self._tokens += weight * (tokens / more - self._tokens)
            self._output_tokens += weight * (max(0, output) / more - self._output_tokens)
        self._ms_per_token = known_mean([one.ms_per_token for one in demands]) or self._ms_per_token
        self._base_ms = known_mean([one.base_ms for one in demands]) or self._base_ms
        self._decode_ms = known_mean([one.decode_ms_per_token for one in demands]) or self._decode_ms

    @property
    def speed(self) -> Speed:
        """What is learned, also while nobody runs who could tell."""
        ms_per_token = self._ms_per_token or SEED_MS_PER_TOKEN
        base_s = (self._base_ms or SEED_BASE_MS) / 1e3
        service_s = 0.0
        if self._decode_ms > 0.0:
            own_s = self._tokens * ms_per_token / 1e3
            service_s = base_s + own_s + self._output_tokens * self._decode_ms / 1e3
        return Speed(1e3 / ms_per_token, service_s, base_s)


def _came(one: EngineDemand) -> int:
    """The requests that have ever come."""
    return one.ended + one.in_flight + one.waiting


def known_mean(values: list[float]) -> float:
    """Of those that are not 0, which is unknown."""
    found = [value for value in values if value > 0.0]
    return sum(found) / len(found) if found else 0.0
