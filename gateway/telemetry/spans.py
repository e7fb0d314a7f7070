"""OpenTelemetry spans of settled requests, made after the fact. The only module that knows OpenTelemetry.

Promise: off, and nothing imported, unless an exporter is set. On, the event loop pays the ids and one append for a
request (making a span there costs 22 us); spans are made and sent on a thread, and dropped and counted when the
collector is slower. Their ids are those that the engines were told; `gateway.tracing` has decided which are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

import structlog

from gateway.accounts.costs import ABANDONED
from gateway.accounts.record import RequestRecord
from gateway.telemetry.batches import BatchThread
from gateway.telemetry.span_attributes import (
    LATEST,
    V1_41,
    Attributes,
    attempt_attributes,
    attempt_name,
    error_type,
    request_attributes,
    request_name,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import SpanKind

BATCH_SPANS = 512

_log = structlog.get_logger("gateway.telemetry")


def exporting(otlp_endpoint: str | None, env: Mapping[str, str], signal: str = "TRACES") -> bool:
    """Whether spans are wanted, or another signal: by the configuration, or by OpenTelemetry's own variables."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if otlp_endpoint:
        return True
    chosen = env.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    if chosen not in ("", "none", "otlp"):
        _log.warning(f"only OTEL_{signal}_EXPORTER=otlp is supported, none are sent", exporter=chosen)
    if chosen:
        return chosen == "otlp"
    return bool(env.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def otlp_spans(
    endpoint: str | None,
    headers: Mapping[str, str],
    service_name: str,
    env: Mapping[str, str],
    providers: Mapping[str, str],
    on_drop: Callable[[int], None],
) -> Spans | None:
    """Spans over OTLP/HTTP, or None when nothing asks for them. Loads OpenTelemetry: about 0.15 s.

    Args:
        endpoint: `telemetry.otlp.endpoint`, the collector's base URL or the full URL that ends in `/v1/traces`; None
            leaves it to the `OTEL_` variables.
        headers: sent with every export besides those of `OTEL_EXPORTER_OTLP_HEADERS`; may be secret.
        service_name: `service.name`, unless the environment names one.
        env: the process environment.
        providers: the provider of each engine by the engine's name, as `engines.providers` spells it; engines of our
            own are called by their kind (`vllm`).
        on_drop: told of lost spans, on the thread that calls `flush`.
    """
    if not exporting(endpoint, env):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    url = endpoint.rstrip("/") if endpoint else None
    if url and not url.endswith("/v1/traces"):
        url += "/v1/traces"
    exporter = OTLPSpanExporter(endpoint=url, headers=dict(headers) or None)
    return Spans(exporter, providers, on_drop, service_name=service_name, env=env)


def resource_attributes(service_name: str, env: Mapping[str, str]) -> dict[str, str]:
    """Whose spans and events they are, unless the environment names somebody."""
    from importlib.metadata import version  # 20 ms, which being off need not pay

    attributes = {"service.version": version("penstock")}
    if not env.get("OTEL_SERVICE_NAME") and "service.name=" not in env.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        attributes["service.name"] = service_name
    return attributes


class Spans:
    """Turns records into spans: one of the request, below the client's, and one below that for each attempt."""

    def __init__(
        self,
        exporter: SpanExporter,
        providers: Mapping[str, str],
        on_drop: Callable[[int], None],
        *,
        service_name: str = "penstock",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """See `otlp_spans`."""
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        env = env or {}
        opted_in = env.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").replace(" ", "").split(",")
        self._conventions = LATEST if "gen_ai_latest_experimental" in opted_in else V1_41
        self._providers = providers
        attributes = resource_attributes(service_name, env)
        self._exporter = _Counting(exporter)
        self._ids = _Ids()
        self._provider = TracerProvider(
            ALWAYS_ON, Resource.create(attributes), shutdown_on_exit=False, id_generator=cast("IdGenerator", self._ids)
        )
        self._processor = BatchSpanProcessor(
            cast("SpanExporter", self._exporter), max_queue_size=4 * BATCH_SPANS, max_export_batch_size=BATCH_SPANS
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer(
            "penstock", attributes["service.version"], schema_url=self._conventions.schema_url
        )
        self._trace = trace
        self._batches = BatchThread("spans", self._consume, on_drop)
        self.write: Callable[[RequestRecord], None] = self._batches.write
        """Take one record, which must not change from now on. Costs an append."""

    def flush(self) -> None:
        """Pass what was written on to the thread; call it each 100 to 200 ms. Never blocks."""
        self._batches.flush()

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what is held, for at most `timeout_s`; what remains is counted as dropped. Blocks."""
        self._batches.close(timeout_s)
        self._exporter.shutdown()  # first: it ends a retry that still waits, on which the processor would wait too
        self._processor.shutdown()  # type: ignore[no-untyped-call] # the SDK's gap

    # From here on: the thread.

    def _consume(self, batch: list[RequestRecord]) -> int:
        failed = self._exporter.failed
        made = 0
        for record in batch:
            if record.sampled:
                self._make(record)
                made += 1 + len(record.tries or ())
            if made >= BATCH_SPANS:
                # Sending before making more keeps the processor's queue, which drops in silence, from filling.
                self._processor.force_flush()
                made = 0
        self._processor.force_flush()
        return self._exporter.failed - failed

    def _make(self, record: RequestRecord) -> None:
        """The span of a request, and one below it for each attempt."""
        trace_id, span_id = int(record.trace_id, 16), int(record.span_id, 16)
        start_ns = round(datetime.fromisoformat(record.time).timestamp() * 1000) * 1_000_000
        parent_id = int(record.parent_span_id, 16) if record.parent_span_id else 0
        kinds = self._trace.SpanKind
        self._ids.take(trace_id, span_id)
        self._span(
            request_name(record),
            kinds.SERVER,
            parent_id,
            request_attributes(record),
            start_ns,
            record.duration_ms,
            record.error,
        )
        for number, attempt in enumerate(record.tries or ()):
            provider = self._providers.get(attempt.engine, "") or "penstock"
            self._ids.take(trace_id, int(attempt.span_id, 16))
            self._span(
                attempt_name(record, attempt),
                kinds.CLIENT,
                span_id,
                attempt_attributes(record, attempt, number, provider, self._conventions),
                start_ns + round(attempt.start_ms * 1_000_000),
                attempt.duration_ms,
                error_type(record, attempt) or "",
            )

    def _span(
        self,
        name: str,
        kind: SpanKind,
        parent_id: int,
        attributes: Attributes,
        start_ns: int,
        duration_ms: float,
        error: str,
    ) -> None:
        """Make one, with the ids that were taken. `parent_id` 0 is none."""
        trace = self._trace
        context = None
        if parent_id:
            parent = trace.SpanContext(self._ids.generate_trace_id(), parent_id, True, trace.TraceFlags(1))
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        span = self._tracer.start_span(name, context, kind, attributes, start_time=start_ns)
        if error and error != ABANDONED:
            span.set_status(trace.StatusCode.ERROR, error)
        span.end(start_ns + round(duration_ms * 1_000_000))


class _Ids:
    """Gives out the ids that the request had when it was served: the engine knows them already."""

    def __init__(self) -> None:
        self._trace_id = self._span_id = 0

    def take(self, trace_id: int, span_id: int) -> None:
        self._trace_id, self._span_id = trace_id, span_id

    def generate_trace_id(self) -> int:
        return self._trace_id

    def generate_span_id(self) -> int:
        return self._span_id

    def is_trace_id_random(self) -> bool:
        return True


class _Counting:
    """An exporter that counts the spans another one fails to send, and is shut down once however often it is told."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._open = True
        self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except BaseException:
            self.failed += len(spans)
            raise
        if result.name != "SUCCESS":
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        if self._open:
            self._open = False
            self._exporter.shutdown()
