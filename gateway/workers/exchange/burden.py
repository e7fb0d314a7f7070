"""What one worker has to do for its engines and models: no more than what its fleet counts anyhow, read in steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.workers.exchange.demand import AskDemand, Demand, EngineDemand, ModelDemand

if TYPE_CHECKING:
    from gateway.fleet.askers import FirstAskers
    from gateway.fleet.live import LiveFleet
    from gateway.telemetry.metrics import Tally
    from routing.replicas.replica import ReplicaState
    from routing.waiting.admission import Admission

_AT_ONCE: Final = 64
"""Tallies to a step."""


@dataclass(slots=True)
class _Ended:
    """What has ended, ever, and what is in flight, of one model at one engine."""

    requests: int = 0
    tokens: int = 0
    """Of prompts, those that were cached left out."""
    output_tokens: int = 0
    in_flight: int = 0


@dataclass(slots=True)
class _Seen:
    by_model: dict[str, dict[str, _Ended]] = field(default_factory=dict)
    engine_tokens: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Requests in flight at each engine, and their tokens that are not made yet."""


def demand_steps(
    question: AskDemand, answer: Demand, fleet: LiveFleet, tallies: Iterable[Tally], now: float
) -> Iterator[None]:
    """Put what there is to do into `answer`."""
    seen = _Seen()
    for at, tally in enumerate(list(tallies), 1):
        if tally.engine:
            one = seen.by_model.setdefault(tally.model, {}).setdefault(tally.engine, _Ended())
            one.requests += sum(tally.codes.values())
            one.tokens += max(0, tally.input_tokens - tally.cached_tokens)
            one.output_tokens += tally.output_tokens
            one.in_flight += tally.in_flight
        if at % _AT_ONCE == 0:
            yield
    askers = fleet.first_askers()
    yield
    for engine in question.engines:
        answer.engines.append(_engine(engine, fleet, askers, seen, now))
        yield
    if question.models:
        for model, (engines, lines) in askers.by_model.items():
            answer.models.append(_model(model, engines, lines, seen))
            yield


def _engine(engine: str, fleet: LiveFleet, askers: FirstAskers, seen: _Seen, now: float) -> EngineDemand:
    states = fleet.states(engine)
    models, lines = askers.by_engine.get(engine, (set(), ()))
    # Whatever of the models that ask it first went elsewhere was meant for it.
    counted = [
        one
        for model, engines in seen.by_model.items()
        for served_by, one in engines.items()
        if served_by == engine or model in models
    ]
    learned = [state.prefill for state in states if state.prefill.learned]
    in_flight = sum([state.in_flight_requests for state in states])
    in_flight_tokens = sum([state.in_flight_tokens for state in states])
    seen.engine_tokens[engine] = in_flight, in_flight_tokens
    return EngineDemand(
        engine,
        in_flight=in_flight,
        prefill_tokens=int(sum([state.ahead_tokens(now) for state in states])),
        waiting=sum([line.waiting for line in lines]),
        waiting_tokens=sum([line.waiting_prompt_tokens for line in lines]),
        ended=sum([one.requests for one in counted]),
        ended_tokens=sum([one.tokens for one in counted]),
        ended_output_tokens=sum([one.output_tokens for one in counted]),
        ms_per_token=_mean([prefill.ms_per_token for prefill in learned]),
        base_ms=_mean([prefill.base_ms for prefill in learned]),
        decode_ms_per_token=_mean([ms for state in states if (ms := state.decode.ms_per_token) > 0.0]),
        replicas=[_standing(state) for state in states if state.in_flight_requests or state.draining],
        in_flight_tokens=in_flight_tokens,
    )


def _model(model: str, engines: Iterable[str], lines: Iterable[Admission], seen: _Seen) -> ModelDemand:
    served = seen.by_model.get(model, {})
    tokens = 0.0
    for engine, one in served.items():  # an engine's tokens belong to its models in proportion to their requests
        all_requests, all_tokens = seen.engine_tokens.get(engine, (0, 0))
        tokens += all_tokens * one.in_flight / max(1, all_requests)
    return ModelDemand(
        model,
        engines=sorted(engines),
        in_flight=sum([one.in_flight for one in served.values()]),
        in_flight_tokens=round(tokens),
        waiting=sum([line.waiting for line in lines]),
        waiting_tokens=sum([line.waiting_tokens for line in lines]),
        waiting_prompt_tokens=sum([line.waiting_prompt_tokens for line in lines]),
        ended=sum([one.requests for one in served.values()]),
        ended_tokens=sum([one.tokens for one in served.values()]),
        ended_output_tokens=sum([one.output_tokens for one in served.values()]),
    )


def _standing(state: ReplicaState) -> tuple[str, int, bool]:
    return state.key[1], state.in_flight_requests, state.draining


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
