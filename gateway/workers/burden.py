"""What one worker has to do, as it tells the others and the autoscaler: no more than what its fleet counts anyhow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from gateway.workers.demand import AskDemand, Demand, EngineDemand
from gateway.workers.messages import Load, ReplicaLoad

if TYPE_CHECKING:
    from gateway.fleet.live import LiveFleet
    from gateway.settings import Model
    from gateway.telemetry.metrics import Tally
    from gateway.workers.messages import ToPlane
    from routing.replica import ReplicaState


class Burden:
    """Of one worker."""

    def __init__(
        self,
        fleet: Callable[[], LiveFleet],
        tallies: Callable[[], Iterable[Tally]],
        tell: Callable[[ToPlane], bool],
    ) -> None:
        self._fleet = fleet
        self._tallies = tallies
        self._tell = tell
        self._last: list[ReplicaLoad] = []

    async def tell(self) -> None:
        """The step of the exchange of loads: what is in flight at each replica that has any."""
        loads = [
            ReplicaLoad(*state.key, state.in_flight_tokens, state.prefill_tokens, state.in_flight_requests)
            for state in self._fleet().table.busy()
        ]
        if loads != self._last and self._tell(Load(loads)):
            self._last = loads  # one that found no room is told again

    def demand(self, question: AskDemand, now: float) -> Demand:
        """What there is to do for each of these engines."""
        fleet = self._fleet()
        if fleet.prepared is None:
            return Demand([])
        first = first_targets(fleet.prepared.settings.models)
        ended: dict[tuple[str, str], list[int]] = {}
        for tally in self._tallies():
            if tally.engine:
                sums = ended.setdefault((tally.model, tally.engine), [0, 0, 0])
                sums[0] += sum(tally.codes.values())
                sums[1] += max(0, tally.input_tokens - tally.cached_tokens)
                sums[2] += tally.output_tokens
        return Demand([self._of(engine, fleet, first.get(engine, set()), ended, now) for engine in question.engines])

    def _of(
        self,
        engine: str,
        fleet: LiveFleet,
        models: set[str],
        ended: dict[tuple[str, str], list[int]],
        now: float,
    ) -> EngineDemand:
        """`models`: those that ask this engine first, so that whatever of them went elsewhere was meant for it."""
        states = fleet.states(engine)
        sums = [0, 0, 0]
        for (model, served_by), counted in ended.items():
            if served_by == engine or model in models:
                sums = [a + b for a, b in zip(sums, counted, strict=True)]
        lines = [route.line for model in models if (route := fleet.route(model)) is not None and route.line.waiting]
        learned = [state for state in states if state.prefill.learned]
        decoding = [ms for state in states if (ms := state.decode.ms_per_token) > 0.0]
        waiting_tokens = sum([line.waiting_prompt_tokens for line in lines])
        ms_per_token = _mean([state.prefill.ms_per_token for state in learned])
        base_ms = _mean([state.prefill.base_ms for state in learned])
        return EngineDemand(
            engine,
            in_flight=sum([state.in_flight_requests for state in states]),
            prefill_tokens=int(sum([state.ahead_tokens(now) for state in states])),
            waiting=sum([line.waiting for line in lines]),
            waiting_tokens=waiting_tokens,
            ended=sums[0],
            ended_tokens=sums[1],
            ended_output_tokens=sums[2],
            ms_per_token=ms_per_token,
            base_ms=base_ms,
            decode_ms_per_token=_mean(decoding),
            replicas=[_standing(state) for state in states if state.in_flight_requests or state.draining],
        )


def first_targets(models: Mapping[str, Model]) -> dict[str, set[str]]:
    """By engine, the models that ask it before any other."""
    first: dict[str, set[str]] = {}
    for name, model in models.items():
        tier = min([target.tier for target in model.targets])
        for target in model.targets:
            if target.tier == tier:
                first.setdefault(target.engine, set()).add(name)
    return first


def _standing(state: ReplicaState) -> tuple[str, int, bool]:
    return state.key[1], state.in_flight_requests, state.draining


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
