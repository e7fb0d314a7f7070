"""What serves one arm of one public model, built from the configuration: what has not changed stays the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from engines.http_engine import HttpEngine
from engines.model import Deadlines
from gateway import clock
from gateway.accounts.prices import Rates
from gateway.experiments.body_edits import edits_of
from gateway.fleet.snapshot import Serving, Upstream, Upstreams
from gateway.fleet.specs import deadlines_of, holding_of, model_spec
from gateway.relay.transcript import Transcripts
from gateway.settings.sections.recording import Recording
from gateway.telemetry.metrics import Tally
from routing.fleet import ModelSpec, build_route
from routing.model import COSTED, Endpoint

if TYPE_CHECKING:
    from gateway.accounts.gpu import GpuMeters
    from gateway.body.held import HeldPrompts
    from gateway.fleet.arms import Arm
    from gateway.fleet.engines import Built
    from gateway.fleet.prepared import Prepared
    from gateway.telemetry.metrics import Metrics
    from routing.choosing.adapters import AdapterBook
    from routing.replicas.replica_table import ReplicaTable
    from routing.route import ModelRoute, RetrySettings
    from routing.waiting.admission import Admission

Terms = tuple[HttpEngine, Deadlines, Rates | None, float | None]
"""What the upstreams of one target share: its engine, time limits, price, and the US dollars of a replica's hour."""


Recorded = tuple[str, Recording]
"""What an arm's records say beside what happened: its bundle, and what is kept of content."""


class Served:
    """One arm of a public model in use, and what it was built from."""

    __slots__ = ("recorded", "serving", "spec", "terms")

    def __init__(
        self, spec: ModelSpec, terms: Mapping[tuple[str, str], Terms], recorded: Recorded, serving: Serving
    ) -> None:
        self.spec = spec
        self.terms = terms
        self.recorded = recorded
        self.serving = serving


class Builder:
    """Builds what serves the models of one worker."""

    def __init__(self, metrics: Metrics, meters: GpuMeters, adapters: AdapterBook, workers: int) -> None:
        self._metrics = metrics
        self._meters = meters
        self._adapters = adapters
        self._workers = workers

    def serve(
        self,
        name: str,
        name_of_arm: str,
        arm: Arm,
        bundle: str,
        prepared: Prepared,
        engines: Mapping[str, Built],
        retry: RetrySettings,
        table: ReplicaTable,
        held: HeldPrompts,
        old: Served | None,
        line: Admission | None = None,
    ) -> Served:
        """One arm: `old`, if nothing of it has changed; what that has learned is taken over.

        `line` is where its requests wait, if not in one of their own.
        """
        settings, prices, model = prepared.settings, prepared.prices, arm.model
        recorded = bundle, model.records
        terms: dict[tuple[str, str], Terms] = {}
        for target in model.targets:
            section = settings.engines[target.engine]
            rates = prices.rates(section.price_provider, target.model, target.engine)
            engine, usd_per_hour = engines[target.engine].engine, section.gpu_usd_per_hour
            if arm.shadow and target.engine in prepared.engines_of_clients:
                usd_per_hour = None  # with its time shared, a copy would make a client's request cheaper
            terms[target.engine, target.model] = engine, deadlines_of(section), rates, usd_per_hour
        rates_of = {place: one[2] for place, one in terms.items()}
        zone = settings.server.zone
        adapters = {
            (target.engine, target.model): settings.engines[target.engine].loads_adapters
            for target in model.targets
            if target.model in settings.engines[target.engine].adapter_paths
        }
        holding = holding_of(model, settings.engines, self._workers)
        spec = model_spec(name, model, engines, rates_of, retry, self._workers, zone, adapters, holding)
        same = old is not None and old.spec == spec and (line is None or old.serving.route.line is line)
        if old is not None and same and old.terms == terms and old.recorded == recorded:
            return old
        before = old.serving.route if old is not None else None
        if before is not None and same:
            route = before
        else:
            route = build_route(spec, table, before, self._adapters)
            if line is not None:
                line.settings = spec.admission
                route = replace(route, line=line)
        upstreams = self._upstreams(name, name_of_arm, arm, terms, recorded, spec, held, route)
        return Served(spec, terms, recorded, Serving(route, upstreams, edits_of(model.params)))

    def _upstreams(
        self,
        model: str,
        name: str,
        arm: Arm,
        terms: Mapping[tuple[str, str], Terms],
        recorded: Recorded,
        spec: ModelSpec,
        held: HeldPrompts,
        route: ModelRoute,
    ) -> Upstreams:
        asks_load = spec.policy in COSTED
        takes = {(target.engine, target.model): target.abilities.takes for target in spec.targets}
        # Made now, so that metrics show a model before its first request, which an alert could not see else.
        shadow = arm.shadow
        series = {
            engine: Tally(model, engine, name) if shadow else self._metrics.series(model, engine, name)
            for engine, _ in terms
        }
        bundle, recording = recorded
        transcripts = None
        if recording.content or (recording.text_share and not shadow):
            size, redact, share = recording.content_bytes, recording.redact or "", recording.text_share
            transcripts = Transcripts(held, size, redact, recording.content, share, samples=not recording.content)

        own = {(target.engine, target.model) for target in arm.targets[: arm.own]}

        def make(endpoint: Endpoint) -> Upstream:
            engine, deadlines, rates, usd_per_hour = terms[endpoint.engine, endpoint.model]
            meter = None
            if usd_per_hour or not shadow:
                meter = self._meters.of(endpoint.state.key, usd_per_hour, clock.monotonic())
            asks = asks_load and engine.tells_load
            tally = series[endpoint.engine]
            upstream = Upstream(endpoint, engine, name, deadlines, tally, rates, meter, asks, bundle, transcripts)
            upstream.translated = engine.translated if engine.translated or engine.unary else None
            upstream.unary, upstream.takes = engine.unary, takes[endpoint.engine, endpoint.model]
            upstream.histories = engine.histories
            if own and (endpoint.engine, endpoint.model) not in own:
                upstream.instead_of = tuple([each for each in route.endpoints() if (each.engine, each.model) in own])
            return upstream

        return Upstreams(make)
