"""Spans, records and what engines are told, of one gateway with a collector: from any of them one finds the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import plain, refusal, running_upstream, stream

pytestmark = pytest.mark.anyio

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(HTTPServer):
    """Takes spans over OTLP/HTTP and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.spans: list[Any] = []

    def telemetry(self, **otlp: object) -> dict[str, Any]:
        """The configuration that sends spans here."""
        endpoint = f"http://127.0.0.1:{self.server_port}"
        return {"access_log": "off", "otlp": {"endpoint": endpoint, **otlp}}


class _Taker(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        assert isinstance(self.server, Collector)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans.extend(scope.spans)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()


def said(span: Any) -> dict[str, Any]:
    """The attributes of a span, as Python has them."""
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value"))
        for one in span.attributes
        if one.value.WhichOneof("value")
    }


async def test_request_id_span_and_what_the_engine_was_told_lead_to_each_other() -> None:
    with collecting() as collector:
        async with running_upstream(refusal(500)) as first, running_upstream(stream()) as second:
            config = one_model(first.url, second.url, telemetry=collector.telemetry())
            async with running_gateway(config) as gateway:
                traceparent = f"00-{TRACE_ID}-{PARENT_ID}-01"
                headers = {"x-request-id": "mine", "traceparent": traceparent}
                await gateway.chat(stream=True, headers=headers, temperature=0.5, max_tokens=9)
                record = await gateway.records.of()
            told = [upstream.received[0].header("traceparent") for upstream in (first, second)]
        request, *attempts = collector.spans
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID} == {record.trace_id}
    assert (request.parent_span_id.hex(), request.span_id.hex()) == (PARENT_ID, record.span_id)
    assert record.tries is not None
    assert [span.span_id.hex() for span in attempts] == [one.span_id for one in record.tries]
    assert [f"00-{TRACE_ID}-{span.span_id.hex()}-01" for span in attempts] == told
    assert {span.parent_span_id.hex() for span in attempts} == {record.span_id}
    assert [request.name, *(span.name for span in attempts)] == ["chat chat", *["chat upstream-model"] * 2]
    assert {said(span)["penstock.request_id"] for span in collector.spans} == {"mine"} == {record.request_id}
    assert {said(span)["penstock.record_id"] for span in collector.spans} == {record.record_id}
    lost, answered = map(said, attempts)
    assert (lost["error.type"], lost["http.response.status_code"]) == ("server_error", 500)
    assert f"{answered['server.address']}:{answered['server.port']}" == second.address
    assert answered["gen_ai.usage.output_tokens"] == record.output_tokens == 3
    assert (answered["gen_ai.request.temperature"], answered["gen_ai.request.max_tokens"]) == (0.5, 9)
    assert (answered["gen_ai.response.id"], answered["gen_ai.response.model"]) == ("chatcmpl-1", "upstream-model")


async def test_without_a_client_trace_there_is_one_of_ours_and_refusals_have_a_place_too() -> None:
    with collecting() as collector:
        async with running_upstream(plain()) as upstream:
            config = one_model(upstream.url, telemetry=collector.telemetry(), limits={"body_bytes": 1024})
            async with running_gateway(config) as gateway:
                await gateway.chat()
                await gateway.chat("nobody-knows-this-model")
                await gateway.http.post("/elsewhere", content=b"x" * 2000)
                records = [await gateway.records.of(number) for number in range(3)]
            (told,) = [request.header("traceparent") for request in upstream.received]
    spans = {span.span_id.hex(): span for span in collector.spans}
    assert len(spans) == 4
    assert [spans[record.span_id].name for record in records] == ["chat chat", "chat", "HTTP"]
    assert [spans[record.span_id].trace_id.hex() for record in records] == [record.trace_id for record in records]
    assert len({record.trace_id for record in records}) == 3
    assert told is not None
    assert told.split("-")[1] == records[0].trace_id
    assert all(not spans[record.span_id].parent_span_id for record in records)


async def test_a_trace_that_is_not_sampled_is_told_to_the_engine_and_not_sent() -> None:
    with collecting() as collector:
        async with running_upstream() as upstream:
            async with running_gateway(
                one_model(upstream.url, telemetry=collector.telemetry(sample_ratio=0))
            ) as gateway:
                await gateway.chat()
                await gateway.chat(headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"})
                await asyncio.gather(gateway.records.of(1))
            told = [request.header("traceparent") for request in upstream.received]
    assert [str(one)[-3:] for one in told] == ["-00", "-01"]
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
