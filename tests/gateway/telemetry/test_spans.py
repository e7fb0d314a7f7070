"""Spans of settled requests, read from the SDK's in-memory exporter."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.accounts.record import AttemptRecord, RequestRecord
from gateway.telemetry.spans import BATCH_SPANS, Spans, exporting, otlp_spans
from tests.gateway.telemetry.records import record

TRACE_ID, SPAN_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def traced(request_id: str = "req-1", **changes: object) -> RequestRecord:
    """A record of a request whose spans are sent."""
    return record(request_id, trace_id=TRACE_ID, span_id=SPAN_ID, sampled=True, **changes)


def attempt(span_id: str = "00000000000000a1", **changes: object) -> AttemptRecord:
    """An attempt that answered, with changes."""
    fields: dict[str, object] = {
        "engine": "llama",
        "replica": "r1",
        "upstream_model": "up",
        "start_ms": 0.5,
        "duration_ms": 200.0,
        "outcome": "answered",
        "status": 200,
        "span_id": span_id,
        **changes,
    }
    return AttemptRecord(**fields)  # type: ignore[arg-type]


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


def attributes(one: ReadableSpan) -> dict[str, object]:
    return dict(one.attributes or {})


FULL = traced(
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
    queue_ms=3.0,
    input_tokens=100,
    output_tokens=20,
    usage_source="reported",
    cost_usd=0.25,
    key_id="app",
    tenant="team",
    response_id="chatcmpl-7",
    response_model="meta-llama/Llama-3.1-8B-Instruct@fp8",
    system_fingerprint="fp_7",
    service_tier="flex",
    parameters={"temperature": 0.5, "max_tokens": 64, "n": 2},
    tries=[
        attempt(outcome="connection_lost", status=0, replica="r0", address="10.0.0.1:8000", cost_usd=0.0625),
        attempt(
            "00000000000000a2",
            upstream_model="meta-llama/Llama-3.1-8B-Instruct",
            start_ms=20.5,
            duration_ms=220.0,
            ttft_ms=125.0,
            input_tokens=100,
            output_tokens=20,
            cached_tokens=60,
            reasoning_tokens=5,
            usage_source="reported",
            cost_usd=0.1875,
            address="[::1]:8001",
        ),
    ],
)


def test_the_spans_of_a_request_carry_the_pinned_names() -> None:
    request, lost, answered = spans_of(FULL)
    assert attributes(request) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "chat",
        "gen_ai.request.stream": True,
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "penstock.request_id": "req-1",
        "penstock.record_id": "019def43f0dc7123845678901200002a",
        "penstock.model": "chat",
        "penstock.engine": "llama",
        "penstock.replica": "r1",
        "penstock.arm": "canary",
        "penstock.attempts": 2,
        "penstock.overhead": 0.0005,
        "penstock.queue": 0.003,
        "penstock.cost_usd": 0.25,
        "penstock.key_id": "app",
        "penstock.tenant": "team",
    }
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.choice.count": 2,
        "penstock.request_id": "req-1",
        "penstock.record_id": "019def43f0dc7123845678901200002a",
        "penstock.engine": "llama",
    }
    assert attributes(lost) == asked | {
        "gen_ai.request.model": "up",
        "error.type": "connection_lost",
        "server.address": "10.0.0.1",
        "server.port": 8000,
        "penstock.replica": "r0",
        "penstock.cost_usd": 0.0625,
    }
    assert attributes(answered) == asked | {
        "gen_ai.request.model": "meta-llama/Llama-3.1-8B-Instruct",
        "gen_ai.response.id": "chatcmpl-7",
        "gen_ai.response.model": "meta-llama/Llama-3.1-8B-Instruct@fp8",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.125,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "openai.response.system_fingerprint": "fp_7",
        "openai.response.service_tier": "flex",
        "http.request.resend_count": 1,
        "http.response.status_code": 200,
        "server.address": "::1",
        "server.port": 8001,
        "penstock.replica": "r1",
        "penstock.time_per_output_token": 0.02,
        "penstock.usage_source": "reported",
        "penstock.cost_usd": 0.1875,
    }


def test_spans_start_and_end_when_what_they_are_of_did() -> None:
    request, lost, answered = spans_of(
        msgspec.structs.replace(FULL, time="2026-05-04T03:02:01.123Z", duration_ms=250.5)
    )
    began_ns = 1_777_863_721_123_000_000
    assert (request.start_time, request.end_time) == (began_ns, began_ns + 250_500_000)
    assert (lost.start_time, lost.end_time) == (began_ns + 500_000, began_ns + 200_500_000)
    assert (answered.start_time, answered.end_time) == (began_ns + 20_500_000, began_ns + 240_500_000)


def test_each_attempt_hangs_under_the_request_and_that_under_the_clients_span() -> None:
    spans = spans_of(msgspec.structs.replace(FULL, parent_span_id=PARENT_ID))
    assert [f"{span.context.span_id:016x}" for span in spans] == [SPAN_ID, "00000000000000a1", "00000000000000a2"]
    assert [f"{span.parent.span_id:016x}" for span in spans if span.parent] == [PARENT_ID, SPAN_ID, SPAN_ID]
    assert {f"{span.context.trace_id:032x}" for span in spans} == {TRACE_ID}
    assert [span.kind for span in spans] == [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.CLIENT]
    assert [span.status.status_code for span in spans] == [StatusCode.UNSET, StatusCode.ERROR, StatusCode.UNSET]


def test_an_attempt_that_another_outran_has_not_failed() -> None:
    _, lost, _ = spans_of(traced(tries=[attempt(outcome="abandoned"), attempt("00000000000000a2")]))
    assert lost.status.status_code is StatusCode.UNSET
    assert attributes(lost)["error.type"] == "abandoned"


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
    request, tried = spans_of(traced(operation=path, model="m", tries=[attempt()]))
    assert (request.name, tried.name) == (name, f"{name.split()[0]} up")


@pytest.mark.parametrize(
    ("path", "name"), [("/v1/chat/completions", "chat"), ("/v1/embeddings", "embeddings"), ("other", "HTTP")]
)
def test_what_nobody_knows_is_in_no_name(path: str, name: str) -> None:
    (span,) = spans_of(traced("", operation=path, model="other", status=404, error="model_not_found"))
    assert span.name == name
    assert "other" not in attributes(span).values()


def test_without_a_parent_it_is_a_root() -> None:
    (span,) = spans_of(traced())
    assert span.parent is None


def test_a_trace_that_is_not_sampled_is_not_sent() -> None:
    assert spans_of(msgspec.structs.replace(FULL, sampled=False), record()) == ()


def test_a_failure_is_an_error_with_its_kind() -> None:
    for span in spans_of(traced(status=504, error="timeout", tries=[attempt()])):
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == "timeout"


def test_providers_are_called_by_their_conventional_names() -> None:
    _, mistral, own = spans_of(traced(tries=[attempt(engine="mistral"), attempt("00000000000000a2", engine="gone")]))
    assert attributes(mistral)["gen_ai.provider.name"] == "mistral_ai"
    assert attributes(own)["gen_ai.provider.name"] == "penstock"


def test_newer_names_are_opted_into() -> None:
    one = traced(tries=[attempt(cache_write_tokens=9)])
    old = attributes(spans_of(one)[1])
    new = attributes(spans_of(one, env={"OTEL_SEMCONV_STABILITY_OPT_IN": "http, gen_ai_latest_experimental"})[1])
    assert old.pop("gen_ai.usage.cache_creation.input_tokens") == 9
    assert new.pop("gen_ai.usage.cache_write.input_tokens") == 9
    assert old == new


def test_the_pinned_version_is_named_as_schema() -> None:
    (span,) = spans_of(traced())
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"


def test_the_service_is_penstock_unless_the_environment_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (span,) = spans_of(traced())
    assert span.resource.attributes["service.name"] == "penstock"
    env = {"OTEL_SERVICE_NAME": "edge"}
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge")
    (span,) = spans_of(traced(), env=env)
    assert span.resource.attributes["service.name"] == "edge"


def test_more_than_the_processors_queue_is_sent_whole() -> None:
    tries = [attempt() for _ in range(3)]
    sent = spans_of(*(traced(str(number), tries=tries) for number in range(5 * BATCH_SPANS)))
    ids = [(span.attributes or {})["penstock.request_id"] for span in sent]
    assert ids == [str(number) for number in range(5 * BATCH_SPANS) for _ in range(4)]


class Refusing(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        pass


def test_spans_that_the_collector_refuses_are_counted() -> None:
    dropped: list[int] = []
    spans = Spans(Refusing(), {}, dropped.append)
    for _ in range(3):
        spans.write(traced())
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
    spans.write(traced())
    spans.flush()
    exporter.sending.wait()
    spans.write(traced())
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
        spans.write(traced())
        spans.close(60)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert Collector.seen == [("/v1/traces", "t", True)]
