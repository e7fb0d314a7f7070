"""OpenTelemetry spans of settled requests, made after the fact. The only module that knows OpenTelemetry.

Promise: off, and nothing imported, unless an exporter is set. On, the event loop pays one append per request (making a
span there costs 22 us); spans are made and sent on a thread and dropped and counted when the collector is slower. Names
are those of the GenAI conventions v1.41, pinned in one table: the conventions are still in development and rename.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

import structlog

from engines.model import Operation
from gateway.accounts.record import RequestRecord
from gateway.telemetry.batches import BatchThread

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

BATCH_SPANS = 512

_log = structlog.get_logger("gateway.telemetry")

OPERATION_NAMES = {
    Operation.CHAT.value: "chat",
    Operation.RESPONSES.value: "chat",
    Operation.MESSAGES.value: "chat",
    Operation.COMPLETIONS.value: "text_completion",
    Operation.EMBEDDINGS.value: "embeddings",
    # The conventions know no names for these; they allow own ones.
    Operation.RESPONSE.value: "response",
    Operation.RESPONSE_CANCEL.value: "cancel_response",
    Operation.RERANK.value: "rerank",
    Operation.SCORE.value: "score",
    Operation.TOKENIZE.value: "tokenize",
    Operation.DETOKENIZE.value: "detokenize",
}
PROVIDER_NAMES = {"mistral": "mistral_ai", "xai": "x_ai"}
"""Where our name of a provider is not `gen_ai.provider.name`'s."""


@dataclass(frozen=True, slots=True)
class Conventions:
    """The names that differ between versions of the GenAI conventions, as far as we emit them."""

    schema_url: str | None
    cache_write: str


V1_41 = Conventions("https://opentelemetry.io/schemas/1.41.0", "gen_ai.usage.cache_creation.input_tokens")
# semantic-conventions-genai has tagged no release, hence no schema URL.
LATEST = Conventions(None, "gen_ai.usage.cache_write.input_tokens")


def exporting(otlp_endpoint: str | None, env: Mapping[str, str]) -> bool:
    """Whether spans are wanted: by the configuration, or by OpenTelemetry's own environment variables."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if otlp_endpoint:
        return True
    chosen = env.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if chosen not in ("", "none", "otlp"):
        _log.warning("only OTEL_TRACES_EXPORTER=otlp is supported, no spans are sent", exporter=chosen)
    if chosen:
        return chosen == "otlp"
    return bool(env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


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


class Spans:
    """Turns records into spans, parented by the client's `traceparent` and sampled as it says."""

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
        from importlib.metadata import version  # 20 ms, which being off need not pay

        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        env = env or {}
        opted_in = env.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").replace(" ", "").split(",")
        self._conventions = LATEST if "gen_ai_latest_experimental" in opted_in else V1_41
        self._providers = providers
        attributes = {"service.version": version("penstock")}
        if not env.get("OTEL_SERVICE_NAME") and "service.name=" not in env.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            attributes["service.name"] = service_name
        self._exporter = _Counting(exporter)
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(
            cast("SpanExporter", self._exporter), max_queue_size=2 * BATCH_SPANS, max_export_batch_size=BATCH_SPANS
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer(
            "penstock", version("penstock"), schema_url=self._conventions.schema_url
        )
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
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
        for start in range(0, len(batch), BATCH_SPANS):
            for record in batch[start : start + BATCH_SPANS]:
                self._make(record)
            # Sending before making more keeps the processor's queue, which drops in silence, from filling.
            self._processor.force_flush()
        return self._exporter.failed - failed

    def _make(self, record: RequestRecord) -> None:
        trace = self._trace
        operation = OPERATION_NAMES.get(record.operation, record.operation)
        model = record.upstream_model or record.model
        start_ns = round(datetime.fromisoformat(record.time).timestamp() * 1000) * 1_000_000
        span = self._tracer.start_span(
            f"{operation} {model}",
            self._propagator.extract({"traceparent": record.traceparent}),
            trace.SpanKind.CLIENT if record.attempts else trace.SpanKind.INTERNAL,
            self._attributes(record, operation, model),
            start_time=start_ns,
        )
        if record.error:
            span.set_status(trace.StatusCode.ERROR, record.error)
        span.end(start_ns + round(record.duration_ms * 1_000_000))

    def _attributes(
        self, record: RequestRecord, operation: str, model: str
    ) -> dict[str, str | int | float | list[str]]:
        provider = self._providers.get(record.engine, "") or "penstock"
        attributes: dict[str, str | int | float | list[str] | None] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": PROVIDER_NAMES.get(provider, provider),
            "gen_ai.request.model": model,
            "gen_ai.request.stream": record.stream or None,
            "gen_ai.response.finish_reasons": [record.finish_reason] if record.finish_reason else None,
            "gen_ai.response.time_to_first_chunk": _seconds(record.ttft_ms) if record.stream else None,
            "gen_ai.usage.input_tokens": record.input_tokens,
            "gen_ai.usage.output_tokens": record.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": record.cached_tokens or None,
            self._conventions.cache_write: record.cache_write_tokens or None,
            "gen_ai.usage.reasoning.output_tokens": record.reasoning_tokens or None,
            "error.type": record.error or None,
            "http.response.status_code": record.status,
            "penstock.request_id": record.request_id,
            "penstock.model": record.model,
            "penstock.engine": record.engine or None,
            "penstock.replica": record.replica or None,
            "penstock.arm": record.arm or None,
            "penstock.attempts": record.attempts,
            "penstock.overhead": _seconds(record.overhead_ms),
            "penstock.time_per_output_token": _seconds(record.tpot_ms),
            "penstock.usage_source": record.usage_source or None,
            "penstock.cost_usd": record.cost_usd,
            "penstock.key_id": record.key_id or None,
            "penstock.tenant": record.tenant or None,
        }
        return {name: value for name, value in attributes.items() if value is not None}


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000.0


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
