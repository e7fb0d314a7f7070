"""What the other gateways have told, by who they are. Each one's last figures count for 15 s after it told them. After
that it may still stream, unseen: the replicas at which it had requests are told to whoever would stop them.

A gateway is known by the name that it drew at its start, never by its address: addresses are used again, and one name
of a Service may lead to ourselves.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from gateway.peers.answer import EngineLoad, LoadAnswer
from gateway.workers.exchange.demand import EngineDemand

COUNTS_S: Final = 15.0
"""One that stops answering may still stream: its requests are not over. After that they are cut, or told elsewhere."""
SILENT_S: Final = 3_600.0
"""For so long what a silent gateway was at is remembered; who scales waits no longer than its own limit anyway."""
PEER: Final = "peer "
"""Before the name of one among those of workers."""


@dataclass(frozen=True, slots=True)
class _Told:
    address: str
    engines: dict[str, EngineLoad]
    at_s: float


class PeerBoard:
    """See the module. `now` never runs backwards."""

    def __init__(self, own: str) -> None:
        """`own` is the name that this gateway drew: what it told itself is left out."""
        self._own = own
        self._told: dict[str, _Told] = {}
        self._silent: dict[str, _Told] = {}

    def note(self, address: str, answer: LoadAnswer, now: float) -> list[str]:
        """The gateway at this address has answered. Returns the engines for which requests have come there, since it
        answered before, while they had no replica."""
        self.refused(address)
        if answer.gateway == self._own:
            return []
        before = self._told.get(answer.gateway)
        self._told[answer.gateway] = _Told(address, {one.engine: one for one in answer.engines}, now)
        self._silent.pop(answer.gateway, None)
        if before is None:
            return []
        return [one.engine for one in answer.engines if one.wakes > _wakes(before, one.engine)]

    def refused(self, address: str) -> None:
        """Whoever was silent at this address is no more."""
        self._silent = {name: told for name, told in self._silent.items() if told.address != address}

    def forget(self) -> None:
        """There are no peers any more."""
        self._told.clear()
        self._silent.clear()

    def demands(self, engines: Collection[str], now: float) -> dict[str, list[EngineDemand]]:
        """What each that counts has to do for these engines, as a worker would tell it."""
        self._drop(now)
        return {
            f"{PEER}{gateway}": [_demand(told.engines[name]) for name in engines if name in told.engines]
            for gateway, told in self._told.items()
        }

    def choosers(self, engines: Collection[str], now: float) -> dict[str, int]:
        """How many that count choose among the replicas of each of these engines; those of nobody are left out."""
        self._drop(now)
        counts: dict[str, int] = {}
        for told in self._told.values():
            for name in engines:
                if name in told.engines:
                    counts[name] = counts.get(name, 0) + 1
        return counts

    def busy(self, engine: str, now: float) -> set[str]:
        """The replicas at which those that tell nothing any more may still have requests."""
        self._drop(now)
        told = [one.engines[engine] for one in self._silent.values() if engine in one.engines]
        return {id for one in told for id, requests, _ in one.replicas if requests}

    def ages_s(self, now: float) -> list[tuple[tuple[str], float]]:
        """Since when each has told nothing, by its address: those that count, and of two at one address the newer."""
        self._drop(now)
        return [((address,), age) for address, age in self._ages(now).items()]

    def count(self, now: float) -> int:
        """How many count."""
        self._drop(now)
        return len(self._told)

    def _ages(self, now: float) -> dict[str, float]:
        ages: dict[str, float] = {}
        for told in self._told.values():
            ages[told.address] = min(now - told.at_s, ages.get(told.address, float("inf")))
        return ages

    def _drop(self, now: float) -> None:
        for name in [name for name, told in self._told.items() if now - told.at_s > COUNTS_S]:
            self._silent[name] = self._told.pop(name)
        self._silent = {name: told for name, told in self._silent.items() if now - told.at_s <= SILENT_S}


def _wakes(told: _Told, engine: str) -> int:
    return told.engines[engine].wakes if engine in told.engines else 0


def _demand(load: EngineLoad) -> EngineDemand:
    return EngineDemand(
        load.engine,
        in_flight=load.in_flight_requests,
        prefill_tokens=load.prefill_tokens,
        waiting=load.queue_requests,
        waiting_tokens=load.queue_prompt_tokens,
        ended=load.ended_requests,
        ended_tokens=load.ended_prompt_tokens,
        ended_output_tokens=load.ended_output_tokens,
        ms_per_token=load.prefill_ms_per_token,
        base_ms=load.ttft_base_ms,
        decode_ms_per_token=load.decode_ms_per_token,
        replicas=load.replicas,
        in_flight_tokens=load.in_flight_tokens,
    )
