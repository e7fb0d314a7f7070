"""What an answer was worth is sent as an event of the GenAI conventions, joined with the answer by its id and trace."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, LogRecordExporter, LogRecordExportResult

from gateway.telemetry.evaluations import Evaluation, Evaluations, otlp_evaluations


def sent(*evaluations: Evaluation) -> Sequence[ReadableLogRecord]:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # the SDK's gap
    events = Evaluations(exporter, service_name="edge")
    for one in evaluations:
        events.send(one)
    events.close()
    return exporter.get_finished_logs()


def test_an_event_has_the_names_of_the_conventions() -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    one = Evaluation(
        "helpful", 1.0, "feedback", "ab" * 16, "true", "it helped", "chatcmpl-1", trace_id, "chat", "canary"
    )
    (event,) = sent(one)
    record = event.log_record
    assert ("gen_ai.evaluation.result", int(trace_id, 16)) == (record.event_name, record.trace_id)
    assert {
        "gen_ai.evaluation.name": "helpful",
        "gen_ai.evaluation.score.value": 1.0,
        "gen_ai.evaluation.score.label": "true",
        "gen_ai.evaluation.explanation": "it helped",
        "gen_ai.response.id": "chatcmpl-1",
        "penstock.evaluation.source": "feedback",
        "penstock.record_id": "ab" * 16,
        "penstock.model": "chat",
        "penstock.arm": "canary",
    } == dict(record.attributes or {})
    assert "edge" == event.resource.attributes["service.name"]
    assert event.instrumentation_scope is not None
    assert "https://opentelemetry.io/schemas/1.41.0" == event.instrumentation_scope.schema_url


def test_what_is_not_known_is_not_said() -> None:
    (event,) = sent(Evaluation("judge", None, "judge", "ab" * 16, error="timeout"))
    assert {
        "gen_ai.evaluation.name": "judge",
        "error.type": "timeout",
        "penstock.evaluation.source": "judge",
        "penstock.record_id": "ab" * 16,
    } == dict(event.log_record.attributes or {})
    (zero,) = sent(Evaluation("edits", 0.0, "feedback", "ab" * 16))
    assert 0.0 == (zero.log_record.attributes or {})["gen_ai.evaluation.score.value"]


class Refusing(LogRecordExporter):
    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        return LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def test_events_that_the_collector_refuses_are_counted() -> None:
    events = Evaluations(Refusing())
    for _ in range(3):
        events.send(Evaluation("edits", 1.0, "feedback", "ab" * 16))
    events.close()
    assert 3 == events.lost


@pytest.mark.parametrize(
    ("endpoint", "env", "url"),
    [
        (None, {}, None),
        (None, {"OTEL_LOGS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, None),
        ("http://127.0.0.1:4318", {"OTEL_SDK_DISABLED": "true"}, None),
        ("http://127.0.0.1:4318", {}, "http://127.0.0.1:4318/v1/logs"),
        ("http://127.0.0.1:4318/v1/traces", {}, "http://127.0.0.1:4318/v1/logs"),
        ("http://127.0.0.1:4318/v1/logs/", {}, "http://127.0.0.1:4318/v1/logs"),
    ],
)
def test_where_events_go(endpoint: str | None, env: dict[str, str], url: str | None) -> None:
    events = otlp_evaluations(endpoint, {}, "penstock", env)
    assert (url is None) == (events is None)
    if events is not None:
        assert url == events.url
        events.close()
