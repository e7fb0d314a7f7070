"""What the configuration says, in the terms of `routing` and `engines`."""

from __future__ import annotations

from collections.abc import Mapping

from engines.http_engine import HttpSettings
from engines.model import Deadlines, Operation
from engines.pools import SYSTEM, Trust
from engines.port import Replica
from gateway.fleet.engines import Built
from gateway.settings import Model, OpenAIEngine, Settings, SimulatorEngine, VllmEngine
from routing.breaker import BreakerSettings
from routing.fleet import ModelSpec, TargetSpec
from routing.route import RetrySettings

EngineSettings = VllmEngine | OpenAIEngine | SimulatorEngine

VLLM_OPERATIONS = frozenset(Operation)
"""vLLM's server has a route for every operation; what the model at hand cannot do, it refuses with a 400 of its own."""


def written_replicas(section: EngineSettings) -> tuple[Replica, ...] | None:
    """The replicas that the configuration writes down; None for an engine whose replicas are told of."""
    if isinstance(section, VllmEngine) and section.replicas is not None:
        return tuple(Replica(replica.id, replica.url) for replica in section.replicas)
    if isinstance(section, OpenAIEngine):
        return tuple(Replica(replica.id, replica.url) for replica in section.servers)
    return None


def http_settings(section: EngineSettings, probe_timeout_s: float = 2.0) -> HttpSettings:
    """What an engine is built from, but for its replicas."""
    provider = section.preset if isinstance(section, OpenAIEngine) else None
    return HttpSettings(
        kind=section.kind,
        operations=section.spoken if isinstance(section, OpenAIEngine) else VLLM_OPERATIONS,
        api_key=section.api_key.get_secret_value() if section.api_key is not None else None,
        headers=tuple((name, value.get_secret_value()) for name, value in section.headers.items()),
        trust=trust_of(section),
        connections=section.connections,
        version_in_url=provider is not None,
        health_path=None if provider is not None else "/health",
        probe_timeout_s=probe_timeout_s,
        accepts_stream_options=provider is None or not provider.no_stream_options,
    )


def trust_of(section: EngineSettings) -> Trust:
    return Trust(section.verify_tls, section.ca_file)


def trusts_of(settings: Settings) -> set[Trust]:
    """Every trust that some https replica of the configuration needs, or may come to need."""
    needed = set()
    for section in settings.engines.values():
        replicas = written_replicas(section)
        trust = trust_of(section)
        if any(one.url.startswith("https:") for one in replicas) if replicas is not None else trust != SYSTEM:
            needed.add(trust)
    return needed


def deadlines_of(section: EngineSettings) -> Deadlines:
    timeouts = section.timeouts
    return Deadlines(timeouts.connect_s, timeouts.first_byte_s, timeouts.idle_s)


def provider_of(section: EngineSettings) -> str:
    """Whose engine it is: the provider's name, or the kind of an engine of our own."""
    return price_provider(section) or section.kind


def price_provider(section: EngineSettings) -> str:
    """Under which provider the price table lists this engine's models; empty for engines of our own."""
    return section.preset.name if isinstance(section, OpenAIEngine) else ""


def priced(settings: Settings) -> list[tuple[str, str, str]]:
    """What `PriceBook.prepare` wants to know: every (price provider, upstream model, engine) that some target names."""
    return [
        (price_provider(settings.engines[target.engine]), target.model, target.engine)
        for model in settings.models.values()
        for target in model.targets
    ]


def model_spec(name: str, model: Model, engines: Mapping[str, Built], retry: RetrySettings) -> ModelSpec:
    """One public model over these engines."""
    targets = tuple(
        TargetSpec(
            engine=target.engine,
            model=target.model,
            replicas=engines[target.engine].ids,
            operations=engines[target.engine].spoken,
            tier=target.tier,
            weight=target.weight,
        )
        for target in model.targets
    )
    return ModelSpec(name, targets, model.policy.name, retry)


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
        budget_per_request=retry.budget_ratio,
        budget_floor_per_s=retry.budget_floor_per_s / workers,
        budget_cap=max(1.0, retry.budget_cap / workers),
    )
