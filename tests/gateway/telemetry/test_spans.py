"""Spans of settled requests, read from the SDK's in-memory exporter."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.accounts.record import RequestRecord
from gateway.telemetry.spans import BATCH_SPANS, Spans, exporting, otlp_spans
from tests.gateway.telemetry.records import record

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def never(records: int) -> None:
    raise AssertionError(records)


def spans_of(*records: RequestRecord, env: Mapping[str, str] | None = None) -> Sequence[ReadableSpan]:
    exporter = InMemorySpanExporter()
    spans = Spans(exporter, {"llama": "vllm", "mistral": "mistral", "openai": "openai"}, never, env=env)
    for one in records:
        spans.write(one)
    spans.flush()
    spans.close(60)
    return exporter.get_finished_spans()


def attributes(one: RequestRecord, env: Mapping[str, str] | None = None) -> dict[str, object]:
    return dict(spans_of(one, env=env)[0].attributes or {})


FULL = record(
    engine="llama",
    replica="r1",
    arm="canary",
    upstream_model="meta-llama/Llama-3.1-8B-Instruct",
    attempts=2,
    stream=True,
    finish_reason="stop",
    ttft_ms=125.0,
    tpot_ms=20.0,
    overhead_ms=0.5,
    input_tokens=100,
    output_tokens=20,
    cached_tokens=60,
    reasoning_tokens=5,
    usage_source="reported",
    cost_usd=0.25,
    key_id="app",
    tenant="team",
)


def test_a_span_carries_the_pinned_names() -> None:
    assert attributes(FULL) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "meta-llama/Llama-3.1-8B-Instruct",
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.125,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "http.response.status_code": 200,
        "penstock.request_id": "req-1",
        "penstock.model": "chat",
        "penstock.engine": "llama",
        "penstock.replica": "r1",
        "penstock.arm": "canary",
        "penstock.attempts": 2,
        "penstock.overhead": 0.0005,
        "penstock.time_per_output_token": 0.02,
        "penstock.usage_source": "reported",
        "penstock.cost_usd": 0.25,
        "penstock.key_id": "app",
        "penstock.tenant": "team",
    }


def test_a_span_starts_at_arrival_and_lasts_as_long_as_the_request() -> None:
    (span,) = spans_of(record(time="2026-05-04T03:02:01.123Z", duration_ms=250.5, attempts=1))
    assert span.start_time == 1_777_863_721_123_000_000
    assert span.end_time is not None
    assert span.end_time - span.start_time == 250_500_000
    assert span.kind is SpanKind.CLIENT


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat m"),
        ("/v1/messages", "chat m"),
        ("/v1/responses", "chat m"),
        ("/v1/completions", "text_completion m"),
        ("/v1/embeddings", "embeddings m"),
        ("/v1/rerank", "rerank m"),
    ],
)
def test_the_name_is_operation_and_model(path: str, name: str) -> None:
    (span,) = spans_of(record(operation=path, model="m"))
    assert span.name == name


def test_it_hangs_under_the_clients_span() -> None:
    (span,) = spans_of(record(traceparent=TRACEPARENT))
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("traceparent", ["", "garbage", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_without_a_valid_parent_it_is_a_root(traceparent: str) -> None:
    (span,) = spans_of(record(traceparent=traceparent))
    assert span.parent is None


def test_a_trace_that_the_client_does_not_sample_is_not_sent() -> None:
    assert spans_of(record(traceparent=TRACEPARENT[:-2] + "00")) == ()


def test_a_failure_is_an_error_with_its_kind() -> None:
    (span,) = spans_of(record(status=504, error="timeout", attempts=1, engine="openai"))
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "timeout"


def test_a_request_that_reached_no_engine_is_no_client_call() -> None:
    (span,) = spans_of(record(status=404, error="model_not_found", model="other"))
    assert span.kind is SpanKind.INTERNAL
    assert (span.attributes or {})["gen_ai.provider.name"] == "penstock"


def test_providers_are_called_by_their_conventional_names() -> None:
    assert attributes(record(engine="mistral"))["gen_ai.provider.name"] == "mistral_ai"


def test_newer_names_are_opted_into() -> None:
    one = record(cache_write_tokens=9)
    old = attributes(one)
    new = attributes(one, env={"OTEL_SEMCONV_STABILITY_OPT_IN": "http, gen_ai_latest_experimental"})
    assert old.pop("gen_ai.usage.cache_creation.input_tokens") == 9
    assert new.pop("gen_ai.usage.cache_write.input_tokens") == 9
    assert old == new


def test_the_pinned_version_is_named_as_schema() -> None:
    (span,) = spans_of(record())
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"


def test_the_service_is_penstock_unless_the_environment_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (span,) = spans_of(record())
    assert span.resource.attributes["service.name"] == "penstock"
    env = {"OTEL_SERVICE_NAME": "edge"}
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge")
    (span,) = spans_of(record(), env=env)
    assert span.resource.attributes["service.name"] == "edge"


def test_more_than_the_processors_queue_is_sent_whole() -> None:
    sent = spans_of(*(record(str(number)) for number in range(5 * BATCH_SPANS)))
    ids = [(span.attributes or {})["penstock.request_id"] for span in sent]
    assert ids == [str(number) for number in range(5 * BATCH_SPANS)]


class Refusing(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        pass


def test_spans_that_the_collector_refuses_are_counted() -> None:
    dropped: list[int] = []
    spans = Spans(Refusing(), {}, dropped.append)
    for _ in range(3):
        spans.write(record())
    spans.close(60)
    assert dropped == [3]


class Hanging(SpanExporter):
    """Sends until it is shut down, as an exporter that retries does."""

    def __init__(self) -> None:
        self.sending = threading.Event()
        self.stopped = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.sending.set()
        self.stopped.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.stopped.set()


def test_closing_is_bounded_while_the_collector_hangs() -> None:
    dropped: list[int] = []
    exporter = Hanging()
    spans = Spans(exporter, {}, dropped.append)
    spans.write(record())
    spans.flush()
    exporter.sending.wait()
    spans.write(record())
    spans.close(0)
    assert exporter.stopped.is_set()
    assert dropped == [1]


@pytest.mark.parametrize(
    ("endpoint", "env", "expected"),
    [
        (None, {}, False),
        ("http://127.0.0.1:4318", {}, True),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        (None, {"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (None, {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        (None, {"OTEL_TRACES_EXPORTER": "zipkin"}, False),
        ("http://127.0.0.1:4318", {"OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_spans_are_off_unless_an_exporter_is_set(endpoint: str | None, env: dict[str, str], expected: bool) -> None:
    assert exporting(endpoint, env) is expected


def test_off_loads_no_opentelemetry() -> None:
    code = (
        "import sys; from gateway.telemetry.spans import otlp_spans;"
        "assert otlp_spans(None, {}, 'penstock', {}, {}, print) is None;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


class Collector(BaseHTTPRequestHandler):
    """Takes one OTLP/HTTP export and remembers where it went and with what token."""

    seen: list[tuple[str, str | None, bool]] = []  # noqa: RUF012 - cleared by its test

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((self.path, self.headers["x-token"], b"penstock.request_id" in body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_a_configured_collector_receives_them_over_otlp_http(path: str) -> None:
    Collector.seen.clear()
    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}{path}"
        spans = otlp_spans(url, {"x-token": "t"}, "penstock", {}, {}, never)
        assert spans is not None
        spans.write(record())
        spans.close(60)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert Collector.seen == [("/v1/traces", "t", True)]
