"""What answers were worth, as OpenTelemetry events `gen_ai.evaluation.result`: of feedback, of judges, of comparisons.

One event for each value, over OTLP/HTTP as a log record (GenAI conventions v1.41, "Event: gen_ai.evaluation.result").
It names the answer by `gen_ai.response.id` and by its trace, where those are known. Off, and nothing imported, unless
an exporter is set. Events are sent by a thread of OpenTelemetry's; of more than `MOST_WAITING` the oldest are dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from gateway import clock
from gateway.telemetry.spans import exporting

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

EVENT: Final = "gen_ai.evaluation.result"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"
MOST_WAITING: Final = 2_048
EVERY_MS: Final = 1_000.0
PATH: Final = "/v1/logs"


class Evaluation(NamedTuple):
    """One value of one answer. What is empty is not known."""

    metric: str
    value: float | None
    """None where whoever evaluates failed: `error` says how."""
    source: str
    """Who says so: `feedback`, `judge`, or what compares."""
    record_id: str
    label: str = ""
    """What the value means, in a word: `true`, `pass`."""
    explanation: str = ""
    response_id: str = ""
    trace_id: str = ""
    model: str = ""
    arm: str = ""
    error: str = ""

    def attributes(self) -> dict[str, str | float]:
        """By the names of the conventions, and of ours."""
        named: dict[str, str | float | None] = {
            "gen_ai.evaluation.name": self.metric,
            "gen_ai.evaluation.score.value": self.value,
            "gen_ai.evaluation.score.label": self.label,
            "gen_ai.evaluation.explanation": self.explanation,
            "gen_ai.response.id": self.response_id,
            "error.type": self.error,
            "penstock.evaluation.source": self.source,
            "penstock.record_id": self.record_id,
            "penstock.model": self.model,
            "penstock.arm": self.arm,
        }
        return {name: value for name, value in named.items() if value not in ("", None)}


def otlp_evaluations(
    endpoint: str | None, headers: Mapping[str, str], service_name: str, env: Mapping[str, str]
) -> Evaluations | None:
    """Events over OTLP/HTTP, or None when nothing asks for them. Arguments as of `gateway.telemetry.spans.otlp_spans`;
    an endpoint that ends in `/v1/traces` means the `/v1/logs` beside it."""
    if not exporting(endpoint, env, "LOGS"):
        return None
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    url = endpoint.rstrip("/").removesuffix("/v1/traces").removesuffix(PATH) + PATH if endpoint else None
    exporter = OTLPLogExporter(endpoint=url, headers=dict(headers) or None)
    return Evaluations(exporter, url=url or "", service_name=service_name, env=env)


class Evaluations:
    """Sends them."""

    def __init__(
        self,
        exporter: LogRecordExporter,
        *,
        url: str = "",
        service_name: str = "penstock",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`url` is where they go, where the environment does not say it. Else see `otlp_evaluations`."""
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.resources import Resource

        from gateway.telemetry.spans import resource_attributes

        self.url: Final = url
        attributes = resource_attributes(service_name, env or {})
        self._exporter = _Counting(exporter)
        self._provider = LoggerProvider(Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_log_record_processor(
            BatchLogRecordProcessor(
                cast("LogRecordExporter", self._exporter),
                schedule_delay_millis=EVERY_MS,
                max_queue_size=MOST_WAITING,
                max_export_batch_size=MOST_WAITING // 4,
            )
        )
        self._logger = self._provider.get_logger("penstock", attributes["service.version"], schema_url=SCHEMA_URL)

    @property
    def lost(self) -> int:
        """Events that the collector did not take."""
        return self._exporter.failed

    def send(self, evaluation: Evaluation) -> None:
        """Take one, of now. Never waits; some 30 us."""
        from opentelemetry import trace
        from opentelemetry._logs import LogRecord, SeverityNumber

        now_ns = int(clock.wall() * 1e9)
        # The span's own id is in no record: the trace is as near as it can be said.
        answered = trace.SpanContext(int(evaluation.trace_id or "0", 16), 0, is_remote=True)
        self._logger.emit(
            LogRecord(
                timestamp=now_ns,
                observed_timestamp=now_ns,
                context=trace.set_span_in_context(trace.NonRecordingSpan(answered)),
                severity_number=SeverityNumber.INFO,
                attributes=evaluation.attributes(),
                event_name=EVENT,
            )
        )

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what waits; after `timeout_s` the exporter tries no more. Blocks."""
        enough = threading.Timer(timeout_s, self._exporter.shutdown)  # it ends a retry that still waits
        enough.daemon = True
        enough.start()
        self._provider.shutdown()
        enough.cancel()


class _Counting:
    """An exporter that counts what another one fails to send."""

    def __init__(self, exporter: LogRecordExporter) -> None:
        self._exporter = exporter
        self._open = True
        self.failed = 0

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        try:
            result = self._exporter.export(batch)
        except BaseException:
            self.failed += len(batch)
            raise
        if result.name != "SUCCESS":
            self.failed += len(batch)
        return result

    def shutdown(self) -> None:
        if self._open:
            self._open = False
            self._exporter.shutdown()  # type: ignore[no-untyped-call] # the SDK's gap

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True
