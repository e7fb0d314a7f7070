"""From settings to objects: engines, fleets and the snapshot. Pure construction; what has not changed is kept.

An engine whose section and replicas are the same as before is the same object after a reload, with its warm
connections. A changed one is built anew; the old one finishes its calls and is closed.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from engines.http_engine import HttpEngine
from engines.model import Deadlines, Operation
from engines.port import Replica, Spawn
from gateway.accounts.keys import keyring_of, keys_of
from gateway.accounts.prices import GpuMeter, PriceBook
from gateway.fleet.snapshot import UNNAMED, Serving, Snapshot, Upstream, Upstreams
from gateway.settings import OpenAIEngine, Settings, SimulatorEngine, VllmEngine
from routing.breaker import BreakerSettings
from routing.fleet import Fleet, ModelSpec, TargetSpec, build_fleet
from routing.model import Endpoint
from routing.replica import ReplicaTable
from routing.route import ModelRoute, RetrySettings

if TYPE_CHECKING:
    from gateway.telemetry.metrics import Metrics

EngineSettings = VllmEngine | OpenAIEngine | SimulatorEngine

VLLM_OPERATIONS = frozenset(Operation)
"""vLLM's server has a route for every operation; what the model at hand cannot do, it refuses with a 400 of its own."""


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """An engine and what it was built from."""

    settings: EngineSettings
    replicas: tuple[Replica, ...]
    probe_timeout_s: float
    engine: HttpEngine


def replicas_of(name: str, settings: EngineSettings, launched: Mapping[str, Sequence[Replica]]) -> tuple[Replica, ...]:
    """The replicas of one engine: those written down, or those launched and ready."""
    if isinstance(settings, VllmEngine) and settings.replicas is not None:
        return tuple(Replica(replica.id, replica.url) for replica in settings.replicas)
    if isinstance(settings, OpenAIEngine):
        return tuple(Replica(replica.id, replica.url) for replica in settings.servers)
    return tuple(launched.get(name, ()))


def build_engine(
    name: str, settings: EngineSettings, replicas: tuple[Replica, ...], spawn: Spawn, probe_timeout_s: float
) -> HttpEngine:
    """One engine. Raises ValueError or OSError for a URL or a CA file that cannot be used."""
    key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    headers = {field: value.get_secret_value() for field, value in settings.headers.items()}
    provider = settings.preset if isinstance(settings, OpenAIEngine) else None
    return HttpEngine(
        name,
        settings.kind,
        replicas,
        settings.spoken if isinstance(settings, OpenAIEngine) else VLLM_OPERATIONS,
        spawn,
        api_key=key,
        headers=headers,
        tls=_tls(settings),
        connections=settings.connections,
        version_in_url=provider is not None,
        health_path=None if provider is not None else "/health",
        probe_timeout_s=probe_timeout_s,
        accepts_stream_options=provider is None or not provider.no_stream_options,
    )


def build_engines(
    settings: Settings,
    launched: Mapping[str, Sequence[Replica]],
    spawn: Spawn,
    previous: Mapping[str, BuiltEngine],
) -> dict[str, BuiltEngine]:
    """All engines of the configuration, those of `previous` that still fit among them."""
    built: dict[str, BuiltEngine] = {}
    probe_timeout_s = settings.health.timeout_s
    for name, section in settings.engines.items():
        replicas = replicas_of(name, section, launched)
        old = previous.get(name)
        if old is not None and (section, replicas, probe_timeout_s) == (
            old.settings,
            old.replicas,
            old.probe_timeout_s,
        ):
            built[name] = old
        else:
            engine = build_engine(name, section, replicas, spawn, probe_timeout_s)
            built[name] = BuiltEngine(section, replicas, probe_timeout_s, engine)
    return built


class SnapshotBuilder:
    """Builds snapshots for one worker and keeps, between them, what must survive: states, estimates, meters."""

    def __init__(self, metrics: Metrics, workers: int = 1) -> None:
        self._metrics = metrics
        self._workers = workers
        self._breaker: BreakerSettings | None = None
        self.table = ReplicaTable()
        self._fleet: Fleet | None = None
        self._meters: dict[tuple[str, str], tuple[float, GpuMeter]] = {}

    def build(self, settings: Settings, digest: str, engines: Mapping[str, BuiltEngine], prices: PriceBook) -> Snapshot:
        """A complete snapshot. Raises ValueError for what cannot be built; the builder is unchanged then."""
        breaker = BreakerSettings(
            window_s=settings.breaker.window_s,
            min_failures=settings.breaker.min_failures,
            failure_ratio=settings.breaker.failure_ratio,
            open_s=settings.breaker.open_s,
            max_open_s=settings.breaker.max_open_s,
            max_probes=settings.breaker.half_open_probes,
        )
        table = self.table if breaker == self._breaker else ReplicaTable(breaker)
        retry = RetrySettings(
            max_attempts=settings.retry.max_attempts,
            base_backoff_s=settings.retry.base_backoff_s,
            max_backoff_s=settings.retry.max_backoff_s,
            max_retry_after_s=settings.retry.max_retry_after_s,
            budget_per_request=settings.retry.budget_ratio,
            budget_floor_per_s=settings.retry.budget_floor_per_s / self._workers,
            budget_cap=max(1.0, settings.retry.budget_cap / self._workers),
        )
        fleet = build_fleet(_specs(settings, engines, retry), table, self._fleet)
        self._metrics.models = frozenset(fleet.models)
        serving = {
            (name, UNNAMED): Serving(route, self._upstreams(route, engines, prices))
            for name, route in fleet.models.items()
        }
        self.table, self._breaker, self._fleet = table, breaker, fleet
        table.prune(fleet.replica_keys())
        return Snapshot(
            keyring=keyring_of(keys_of(settings), any_host=settings.auth.open),
            limits=settings.limits,
            fleet=fleet,
            serving=MappingProxyType(serving),
            digest=digest,
        )

    def _upstreams(self, route: ModelRoute, engines: Mapping[str, BuiltEngine], prices: PriceBook) -> Upstreams:
        """What is slow to make is made now: the price of a model may have to be looked for."""
        shared = {}
        for engine, model in {(endpoint.engine, endpoint.model) for endpoint in route.endpoints()}:
            built = engines[engine]
            shared[engine, model] = (
                built,
                _deadlines(built.settings),
                self._metrics.series(route.name, engine),
                prices.rates(_price_provider(built.settings), model, engine),
            )

        def make(endpoint: Endpoint) -> Upstream:
            built, deadlines, series, rates = shared[endpoint.engine, endpoint.model]
            meter = self._meter(endpoint.state.key, built.settings.gpu_usd_per_hour)
            return Upstream(endpoint, built.engine, UNNAMED, deadlines, series, rates, meter)

        return Upstreams(make)

    def _meter(self, key: tuple[str, str], usd_per_hour: float | None) -> GpuMeter | None:
        if not usd_per_hour:
            return None
        known = self._meters.get(key)
        if known is None or known[0] != usd_per_hour:
            known = self._meters[key] = (usd_per_hour, GpuMeter(usd_per_hour, self._workers))
        return known[1]


def _specs(settings: Settings, engines: Mapping[str, BuiltEngine], retry: RetrySettings) -> list[ModelSpec]:
    spoken = {
        name: frozenset(operation.value for operation in built.engine.operations) for name, built in engines.items()
    }
    specs = []
    for name, model in settings.models.items():
        targets = tuple(
            TargetSpec(
                engine=target.engine,
                model=target.model,
                replicas=tuple(replica.id for replica in engines[target.engine].replicas),
                operations=spoken[target.engine],
                tier=target.tier,
                weight=target.weight,
            )
            for target in model.targets
        )
        specs.append(ModelSpec(name, targets, model.policy.name, retry))
    return specs


def _deadlines(settings: EngineSettings) -> Deadlines:
    timeouts = settings.timeouts
    return Deadlines(timeouts.connect_s, timeouts.first_byte_s, timeouts.idle_s)


def provider_of(settings: EngineSettings) -> str:
    """Whose engine it is: the provider's name, or the kind of an engine of our own."""
    return _price_provider(settings) or settings.kind


def _price_provider(settings: EngineSettings) -> str:
    """Under which provider the price table lists this engine's models; empty for engines of our own."""
    return settings.preset.name if isinstance(settings, OpenAIEngine) else ""


def _tls(settings: EngineSettings) -> ssl.SSLContext | None:
    if settings.verify_tls and settings.ca_file is None:
        return None
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
