"""The fleet: an immutable snapshot of which endpoints serve which public models.

It changes by difference: whoever owns it builds anew the routes of the models that changed (`build_route`, one small
step each) and makes a new `Fleet` of those and the others; requests in flight finish on the old one. What has been
learned survives: replica states are looked up by key in the table; endpoints, retry budgets and token estimates are
taken over from the model's previous route.
"""

from __future__ import annotations

import difflib
import heapq
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from routing.choosing.adapters import AdapterBook, HeldAdapter
from routing.choosing.capabilities import ABLE, Abilities, Takes
from routing.choosing.filters import Filter
from routing.choosing.pickers import Picker, build_picker, terms_of
from routing.choosing.terms import Terms
from routing.failing.ejection import EjectionSettings
from routing.failing.hedging import Hedging, HedgingSettings
from routing.model import LEAST_LOAD, Endpoint
from routing.replicas.replica_table import ReplicaTable
from routing.route import DEFAULT_RETRY, ModelRoute, RetrySettings, Tiers
from routing.tokens import TokenEstimate
from routing.waiting.admission import DEFAULT_ADMISSION, Admission, AdmissionSettings
from routing.waiting.holding import Holding

_LONGEST_NAME_COMPARED = 64  # difflib is quadratic in this, and the name comes from the client
_MOST_NAMES_COMPARED = 200
_MOST_NAMES_ALIGNED = 8  # each takes 50 us, and a client may ask for a thousand names that nobody has


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One upstream model of a public model, on every replica of one engine."""

    engine: str
    model: str
    replicas: tuple[str, ...]
    operations: frozenset[str]
    """What the engine speaks."""
    tier: int = 0
    weight: float = 1.0
    """Of each replica; see `Endpoint.weight`."""
    usd_per_input_token: float = 0.0
    usd_per_output_token: float = 0.0
    away: frozenset[str] = frozenset()
    """Those of `replicas` in another zone than ours."""
    abilities: Abilities = ABLE
    """What it can be asked for."""
    adapter: bool = False
    """Whether `model` is an adapter, which only some of the replicas may hold."""
    loads: bool = False
    """Whether that is loaded on demand."""
    lives: tuple[str, ...] = ()
    """Of each of `replicas`, where that is known: another server under the same id has another one."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One public model."""

    name: str
    targets: tuple[TargetSpec, ...]
    policy: str = LEAST_LOAD
    retry: RetrySettings = DEFAULT_RETRY
    ms_per_usd: float | None = None
    """What a US dollar is worth to the policy; None for the policy's own idea of it."""
    slo_ttft_ms: float | None = None
    """When the first token is due."""
    refuse_late: bool = False
    """Whether a request that would miss that everywhere is refused at once; under the policy `slo`, with admission."""
    admission: AdmissionSettings = DEFAULT_ADMISSION
    hedging: HedgingSettings | None = None
    """None where nothing is hedged."""
    holding: Holding | None = None
    """Who is woken for its requests where no replica is; None: nobody can be."""
    other_zone_ms: float = 0.0
    """What a replica in another zone costs more."""
    slow_start_s: float = 0.0
    """Over how long a replica that is new, or has returned, is given a rising share."""
    ejection: EjectionSettings | None = None
    """None where no replica is compared with its peers."""
    continuations: int = 0
    """How often a stream whose engine dies may go on elsewhere."""
    keyed: frozenset[str] = frozenset()
    """Engines whose replicas differ in the key that they are asked with."""
    drops: bool = False
    """Whether a parameter that a target does not take may be left out."""


class Fleet:
    """All routes by public model name."""

    __slots__ = ("_by_length", "models")

    def __init__(self, models: Mapping[str, ModelRoute]) -> None:
        self.models: Mapping[str, ModelRoute] = MappingProxyType(dict(models))
        self._by_length: list[str] = []
        """The names, once somebody has asked for one that is not among them."""

    def nearest(self, name: str, n: int = 3) -> list[str]:
        """Up to `n` model names that `name` may have been meant for, best first.

        Case is ignored. Bounded whatever the client sends: of the 200 names of the most similar length, the 8 that
        share the most letters and pairs of letters with it are compared; 0.5 ms.
        """
        wanted = name[:_LONGEST_NAME_COMPARED].lower()
        spelled = {known[:_LONGEST_NAME_COMPARED].lower(): known for known in reversed(self._as_long_as(wanted))}
        shape = _shape(wanted)
        closest = max(n, _MOST_NAMES_ALIGNED)
        likely = heapq.nlargest(closest, reversed(spelled), key=lambda known: len(shape & _known_shape(known)))
        return [spelled[match] for match in difflib.get_close_matches(wanted, likely, n)]

    def _as_long_as(self, wanted: str) -> list[str]:
        """The names whose length is the most similar."""
        if not self._by_length:
            self._by_length = sorted(self.models, key=len)
        length = len(wanted)
        at = bisect_left(self._by_length, length, key=len)
        around = self._by_length[max(0, at - _MOST_NAMES_COMPARED) : at + _MOST_NAMES_COMPARED]
        around.sort(key=lambda known: abs(len(known) - length))
        return around[:_MOST_NAMES_COMPARED]


def _shape(name: str) -> frozenset[str]:
    """Its letters and pairs of letters."""
    return frozenset([*name, *[name[at : at + 2] for at in range(len(name) - 1)]])


_known_shape = lru_cache(maxsize=4096)(_shape)
"""Of names that are configured, never of a client's."""


def build_fleet(spec: Sequence[ModelSpec], table: ReplicaTable, previous: Fleet | None = None) -> Fleet:
    """A fleet of exactly these models. Raises ValueError, naming the model, for what cannot be built.

    Pass the fleet in use as `previous`, or budgets and token estimates start afresh.
    """
    models: dict[str, ModelRoute] = {}
    for model in spec:
        if model.name in models:
            raise ValueError(f"model {model.name!r} is defined twice")
        old = previous.models.get(model.name) if previous is not None else None
        models[model.name] = build_route(model, table, old)
    return Fleet(models)


def build_route(
    model: ModelSpec, table: ReplicaTable, old: ModelRoute | None = None, book: AdapterBook | None = None
) -> ModelRoute:
    """The route of one model. Raises ValueError, naming the model, for what cannot be built.

    Targets of one tier are one pool. Tier numbers need not be consecutive; an engine without replicas leaves its pool
    empty. `old` is the model's route in use: its budget, its estimate and the endpoints that stay the same are kept.
    `book` knows who holds which adapters; without it, everybody is taken to hold them.
    """
    terms = terms_of(model.policy, model.ms_per_usd, model.slo_ttft_ms, model.slow_start_s)
    _check(model)
    whole, speakers = _tiers(model, terms, table, old)
    adapters = frozenset([(target.engine, target.model) for target in model.targets if target.adapter])
    loads = frozenset([(target.engine, target.model) for target in model.targets if target.loads])
    prefixes = table.prefixes if terms is not None and terms.caches else None

    def build(pool: Sequence[Endpoint]) -> Picker:
        return build_picker(model.policy, terms, pool, table, model.slow_start_s)

    keep_budget = old is not None and old.retry == model.retry
    return ModelRoute(
        name=model.name,
        whole=whole,
        speakers=speakers,
        policy=model.policy,
        retry=model.retry,
        budget=old.budget if old is not None and keep_budget else model.retry.new_budget(),
        tokens=old.tokens if old is not None else TokenEstimate(),
        line=_line(model, old),
        overflows=terms is not None and terms.slo_ttft_ms is not None,
        refuse_late_ms=_refuse_late_ms(model, terms),
        prefixes=prefixes,
        news=table.news,
        samples=table.samples,
        hedging=_hedging(model, old),
        holding=model.holding,
        ejection=model.ejection,
        continuations=model.continuations,
        adapters=adapters,
        keyed=model.keyed,
        loads=loads,
        held=HeldAdapter(adapters, loads, book, build) if adapters and book is not None else None,
        notes=prefixes is not None or bool(loads),
        filters=_takes(model),
    )


def _refuse_late_ms(model: ModelSpec, terms: Terms | None) -> float:
    if not model.refuse_late:
        return 0.0
    if terms is None or terms.slo_ttft_ms is None or not model.admission.enabled:
        raise ValueError(f"model {model.name!r}: only policy slo, with an objective and admission, refuses the late")
    return terms.slo_ttft_ms


def _takes(model: ModelSpec) -> tuple[Filter, ...]:
    """None where every target takes everything: a request's needs are not read for nothing."""
    abilities = {(target.engine, target.model): target.abilities for target in model.targets}
    if all(each == ABLE for each in abilities.values()):
        return ()
    return (Takes(abilities, drops=model.drops),)


def _line(model: ModelSpec, old: ModelRoute | None) -> Admission:
    """The line in use, for whoever stands in it, with the settings of now."""
    if old is None:
        return Admission(model.admission)
    old.line.settings = model.admission
    return old.line


def _hedging(model: ModelSpec, old: ModelRoute | None) -> Hedging | None:
    """What was learned of how long first bytes take is kept, with the settings of now."""
    if model.hedging is None:
        return None
    if old is None or old.hedging is None:
        return Hedging(model.hedging)
    old.hedging.settings = model.hedging
    return old.hedging


def _check(model: ModelSpec) -> None:
    seen: set[tuple[str, str, str, int]] = set()
    for target in model.targets:
        if not (target.weight > 0 and math.isfinite(target.weight)):
            raise ValueError(f"model {model.name!r}: the weight of {target.engine}/{target.model} must be over 0")
        for replica in target.replicas:
            identity = (target.engine, replica, target.model, target.tier)
            if identity in seen:
                raise ValueError(
                    f"model {model.name!r}: {target.engine}/{target.model} on replica {replica!r} is twice in one tier"
                )
            seen.add(identity)


_Place = tuple[str, str, str, int, float, float, float, float]
"""Engine, replica, upstream model, tier, weight, prices, and what its zone costs: an endpoint with the same ones stays
the same object."""


def _tiers(
    model: ModelSpec, terms: Terms | None, table: ReplicaTable, old: ModelRoute | None
) -> tuple[Tiers, dict[str, Tiers]]:
    """The tiers of a model, whole and by operation. Operations that the same targets speak share theirs."""
    known: dict[_Place, Endpoint] = {}
    if old is not None:
        for one in old.endpoints():
            costs = one.usd_per_input_token, one.usd_per_output_token, one.away_ms
            known[one.engine, one.replica, one.model, one.tier, one.weight, *costs] = one
    position = {number: at for at, number in enumerate(sorted({target.tier for target in model.targets}))}
    placed: list[list[Endpoint]] = []
    for target in model.targets:
        endpoints = []
        prices = target.usd_per_input_token, target.usd_per_output_token
        for replica in target.replicas:
            away_ms = model.other_zone_ms if replica in target.away else 0.0
            place = (target.engine, replica, target.model, position[target.tier], target.weight, *prices, away_ms)
            state = table.get((target.engine, replica))
            endpoint = known.get(place)
            if endpoint is None or endpoint.state is not state:
                endpoint = Endpoint(*place[:5], state, *prices, away_ms)
            endpoints.append(endpoint)
        placed.append(endpoints)
    made: dict[tuple[int, ...], Tiers] = {}

    def over(chosen: tuple[int, ...]) -> Tiers:
        tiers = made.get(chosen)
        if tiers is None:
            pools: list[list[Endpoint]] = [[] for _ in position]
            for i in chosen:
                pools[position[model.targets[i].tier]] += placed[i]
            tiers = made[chosen] = Tiers(
                tuple(tuple(pool) for pool in pools),
                tuple(build_picker(model.policy, terms, pool, table, model.slow_start_s) for pool in pools),
            )
        return tiers

    speaking: dict[str, list[int]] = {}
    for i, target in enumerate(model.targets):
        for operation in target.operations:
            speaking.setdefault(operation, []).append(i)
    whole = over(tuple(range(len(model.targets))))
    return whole, {operation: over(tuple(chosen)) for operation, chosen in speaking.items()}
