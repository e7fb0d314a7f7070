"""What the configuration says, in the terms of `routing` and `engines`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from engines.kinds.section import EngineSection
from engines.model import Deadlines
from engines.pools import SYSTEM, Trust
from engines.wire.codec import Egress
from engines.wire.unary.port import UnaryForm
from gateway.accounts.prices import PICO, Rates
from gateway.fleet.arms import targets_of
from gateway.fleet.engines import Built
from gateway.fleet.steps import at_once
from gateway.settings import Model, Settings
from gateway.settings.sections.ejection import EjectionSection
from gateway.settings.sections.targets import Target
from routing.choosing.capabilities import Abilities
from routing.failing.breaker import BreakerSettings
from routing.failing.ejection import EjectionSettings
from routing.failing.hedging import HedgingSettings
from routing.fleet import ModelSpec, TargetSpec
from routing.model import LEAST_LOAD, PREFIX, SLO
from routing.route import RetrySettings
from routing.waiting.admission import AdmissionSettings
from routing.waiting.holding import Holding

NO_ADAPTERS: Final[Mapping[tuple[str, str], bool]] = MappingProxyType({})


def trusts_of(settings: Settings) -> set[Trust]:
    """Every trust that some https replica of the configuration needs, or may come to need."""
    needed: set[Trust] = set()
    at_once(gather_trusts(settings, needed))
    return needed


def gather_trusts(settings: Settings, needed: set[Trust]) -> Iterator[None]:
    """The same in steps: at 300 engines of 64 replicas it takes 30 ms."""
    for section in settings.engines.values():
        replicas, trust = section.written_replicas(), section.trust
        if any(one.url.startswith("https:") for one in replicas) if replicas is not None else trust != SYSTEM:
            needed.add(trust)
        yield


def deadlines_of(section: EngineSection) -> Deadlines:
    timeouts = section.timeouts
    return Deadlines(timeouts.connect_s, timeouts.first_byte_s, timeouts.idle_s)


def provider_of(section: EngineSection) -> str:
    """Whose engine it is: the provider's name, or the kind of an engine of our own."""
    return section.price_provider or section.row


def priced(settings: Settings) -> list[tuple[str, str, str]]:
    """What `PriceBook.prepare` wants to know: every (price provider, upstream model, engine) that some target names."""
    return [
        (settings.engines[target.engine].price_provider, target.model, target.engine)
        for model in settings.models.values()
        for target in targets_of(model)
    ]


def model_spec(
    name: str,
    model: Model,
    engines: Mapping[str, Built],
    rates: Mapping[tuple[str, str], Rates | None],
    retry: RetrySettings,
    workers: int = 1,
    zone: str | None = None,
    adapters: Mapping[tuple[str, str], bool] = NO_ADAPTERS,
    holding: Holding | None = None,
) -> ModelSpec:
    """One public model over these engines; `rates` by engine and upstream model, `zone` the gateway's, `adapters` those
    of the targets' models that are adapters, and whether they are loaded on demand."""
    targets = tuple(
        TargetSpec(
            engine=target.engine,
            model=target.model,
            replicas=engines[target.engine].ids,
            lives=engines[target.engine].lives,
            operations=engines[target.engine].spoken,
            tier=target.tier,
            weight=target.weight,
            away=_away(engines[target.engine], zone),
            abilities=_abilities(engines[target.engine], target),
            adapter=(target.engine, target.model) in adapters,
            loads=adapters.get((target.engine, target.model), False),
            **_prices(rates[target.engine, target.model]),
        )
        for target in model.targets
    )
    return ModelSpec(
        name,
        targets,
        model.policy.name or usual_policy(targets, engines),
        retry,
        ms_per_usd=model.policy.ms_per_usd,
        slo_ttft_ms=model.slo.ttft_ms,
        refuse_late=model.slo.refuse_late and model.policy.name == SLO,  # an arm may have another policy
        admission=AdmissionSettings(
            queue_tokens=model.admission.queue_tokens // workers,
            tenant_ratio=model.admission.tenant_ratio,
            max_wait_s=model.admission.max_wait_s,
            in_flight=model.admission.in_flight,
            enabled=model.admission.enabled,
            comment_interval_s=model.admission.comment_interval_s or 0.0,
        ),
        hedging=HedgingSettings(model.hedging.after_ms) if model.hedging.enabled else None,
        holding=holding,
        keyed=frozenset(target.engine for target in model.targets if engines[target.engine].engine.settings.keyed),
        drops=model.unsupported == "drop",
        other_zone_ms=model.policy.other_zone_ms,
        slow_start_s=model.slow_start_s,
        ejection=_ejection(model.ejection),
        continuations=model.continuation.per_request if model.continuation.enabled else 0,
    )


def holding_of(model: Model, engines: Mapping[str, EngineSection], workers: int = 1) -> Holding | None:
    """Who is woken for a model that nobody serves: the engines of its first tier that follow the traffic."""
    tier = min([target.tier for target in model.targets])
    names = dict.fromkeys([target.engine for target in model.targets if target.tier == tier])
    sections = {name: section for name in names if (section := engines[name].autoscale) is not None}
    if not sections:
        return None
    most_s = max([section.hold_s for section in sections.values()])
    return Holding(tuple(sections), most_s, max([one.hold_tokens for one in sections.values()]) // workers)


def _abilities(built: Built, target: Target) -> Abilities:
    return abilities_of(built.engine.translated, built.engine.unary, target, target.model)


def abilities_of(
    translated: Mapping[str, Egress], unary: Mapping[str, UnaryForm], target: Target, model: str
) -> Abilities:
    """What the engine's formats, by the path of an operation, take for this model, changed by what the target says."""
    lacks = frozenset(target.lacks)
    if not translated and not unary:
        return Abilities(lacks=lacks)
    chat = [egress.takes for egress in translated.values()]
    takes = frozenset().union(*chat, *[form.takes(model) for form in unary.values()], target.takes)
    return Abilities(frozenset((*translated, *unary)), takes - lacks, lacks)


def usual_policy(targets: Iterable[TargetSpec], engines: Mapping[str, Built]) -> str:
    """The policy of a model that names none: what caches hold counts where several engines of our own have some.

    Those are the engines that tell their load. One replica by itself leaves nothing to choose, and pays for nothing.
    """
    cached: dict[int, set[tuple[str, str]]] = {}
    for target in targets:
        if engines[target.engine].engine.tells_load:
            cached.setdefault(target.tier, set()).update((target.engine, replica) for replica in target.replicas)
    return PREFIX if any(len(replicas) > 1 for replicas in cached.values()) else LEAST_LOAD


def _away(built: Built, zone: str | None) -> frozenset[str]:
    """The replicas that are known to be in another zone than this one."""
    if zone is None:
        return frozenset()
    return frozenset(id for id, replica in built.replicas.items() if replica.zone not in ("", zone))


def _ejection(section: EjectionSection) -> EjectionSettings | None:
    if not section.enabled:
        return None
    return EjectionSettings(
        max_ratio=section.max_ratio,
        base_s=section.base_s,
        max_s=section.max_s,
        min_requests=section.min_requests,
        failure_margin=section.failure_margin,
        ttft_ratio=section.ttft_ratio,
    )


def _prices(rates: Rates | None) -> dict[str, float]:
    """As of now, of a prompt below all thresholds: good enough to compare engines by."""
    if rates is None:
        return {}
    row = rates.tables.standard.rows[0]
    return {"usd_per_input_token": row.per_input / PICO, "usd_per_output_token": row.per_output / PICO}


def breaker_settings(settings: Settings) -> BreakerSettings:
    breaker = settings.breaker
    return BreakerSettings(
        window_s=breaker.window_s,
        min_failures=breaker.min_failures,
        failure_ratio=breaker.failure_ratio,
        open_s=breaker.open_s,
        max_open_s=breaker.max_open_s,
        max_probes=breaker.half_open_probes,
    )


def retry_settings(settings: Settings, workers: int) -> RetrySettings:
    """One worker's share."""
    retry = settings.retry
    return RetrySettings(
        max_attempts=retry.max_attempts,
        base_backoff_s=retry.base_backoff_s,
        max_backoff_s=retry.max_backoff_s,
        max_retry_after_s=retry.max_retry_after_s,
        after_send=retry.after_send,
        budget_per_request=retry.budget_ratio,
        budget_floor_per_s=retry.budget_floor_per_s / workers,
        budget_cap=max(1.0, retry.budget_cap / workers),
    )
