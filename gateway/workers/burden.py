"""What one worker has to do for engines that follow their traffic: no more than what its fleet counts anyhow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.workers.demand import AskDemand, Demand, EngineDemand

if TYPE_CHECKING:
    from gateway.fleet.live import LiveFleet
    from gateway.telemetry.metrics import Tally
    from routing.replica import ReplicaState

Ended = dict[tuple[str, str], tuple[int, int, int]]
"""By model and engine: requests, prompt tokens that were not cached, output tokens."""


def demand_of(question: AskDemand, fleet: LiveFleet, tallies: Iterable[Tally], now: float) -> Demand:
    """What there is to do for each of these engines."""
    ended: Ended = {}
    for tally in tallies:
        if tally.engine:
            key = tally.model, tally.engine
            requests, tokens, output = ended.get(key, (0, 0, 0))
            requests += sum(tally.codes.values())
            tokens += max(0, tally.input_tokens - tally.cached_tokens)
            ended[key] = requests, tokens, output + tally.output_tokens
    return Demand([_of(engine, fleet, ended, now) for engine in question.engines])


def _of(engine: str, fleet: LiveFleet, ended: Ended, now: float) -> EngineDemand:
    states = fleet.states(engine)
    models, lines = fleet.askers(engine)
    # Whatever of the models that ask it first went elsewhere was meant for it.
    counted = [counts for (model, served_by), counts in ended.items() if served_by == engine or model in models]
    learned = [state.prefill for state in states if state.prefill.learned]
    return EngineDemand(
        engine,
        in_flight=sum([state.in_flight_requests for state in states]),
        prefill_tokens=int(sum([state.ahead_tokens(now) for state in states])),
        waiting=sum([line.waiting for line in lines]),
        waiting_tokens=sum([line.waiting_prompt_tokens for line in lines]),
        ended=sum([requests for requests, _, _ in counted]),
        ended_tokens=sum([tokens for _, tokens, _ in counted]),
        ended_output_tokens=sum([output for _, _, output in counted]),
        ms_per_token=_mean([prefill.ms_per_token for prefill in learned]),
        base_ms=_mean([prefill.base_ms for prefill in learned]),
        decode_ms_per_token=_mean([ms for state in states if (ms := state.decode.ms_per_token) > 0.0]),
        replicas=[_standing(state) for state in states if state.in_flight_requests or state.draining],
    )


def _standing(state: ReplicaState) -> tuple[str, int, bool]:
    return state.key[1], state.in_flight_requests, state.draining


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
