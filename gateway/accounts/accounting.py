"""Settling a request: metrics, learned token ratios, cost, and the one record that access line and span are made of.

Runs once per request, with everything it needs already resolved; nothing here waits or writes to a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engines.model import Operation
from engines.operations import PATHS
from gateway import clock
from gateway.accounts.costs import attempt_records, cost_usd, is_unknown
from gateway.accounts.lost import FREE, lost_prompt_tokens, lost_usage, whole_usage
from gateway.accounts.reasons import in_short, reason_of, spelt
from gateway.accounts.record import MOST_SAID, RequestRecord, note_more, shortened
from gateway.accounts.settlement import UNTOLD, RecordSink, Settlement
from gateway.accounts.shares import WrittenShares
from gateway.accounts.spending import Spending
from gateway.body.held import HeldPrompts
from gateway.errors import Failure
from gateway.telemetry.metrics import OTHER
from gateway.telemetry.metrics.families.admission import SHED
from gateway.telemetry.metrics.families.continuations import CONTINUATIONS, NOT_CONTINUED
from gateway.telemetry.metrics.families.hedges import HEDGES, HEDGES_WITHHELD
from gateway.telemetry.metrics.families.prompts import PROMPTS_HELD
from gateway.telemetry.metrics.families.retries import FALLBACKS, RETRIES
from gateway.telemetry.metrics.families.spending import SPENT
from gateway.tracing import trace_id_of
from gateway.wildcard_names import is_wildcard

if TYPE_CHECKING:
    from engines.model import Usage
    from engines.wire.said import Said
    from gateway.attempt import Attempt
    from gateway.experiments.observing import Observing
    from gateway.flight import Flight
    from gateway.http.request import Request
    from gateway.relay.transcript import ContentSink
    from gateway.telemetry.metrics import Metrics
    from gateway.tracing import Trace, Tracing
    from routing.experiments.experiment import Assignment
    from routing.failing.outcome import Outcome


class Accounting(Settlement):
    """See `gateway.accounts.settlement.Settlement`."""

    __slots__ = (
        "_format_time",
        "_held",
        "_metrics",
        "_shares",
        "contents",
        "observing",
        "sinks",
        "spending",
        "tracing",
    )

    def __init__(self, metrics: Metrics, sinks: Sequence[RecordSink], format_time: Callable[[float], str]) -> None:
        """`format_time` turns Unix seconds into the record's time."""
        self._metrics = metrics
        self.sinks = tuple(sinks)
        self._format_time = format_time
        self._held = HeldPrompts()
        self._shares = WrittenShares()
        self.tracing: Tracing | None = None
        self.contents: ContentSink | None = None
        """Where prompts and answers go, of models that keep them."""
        self.observing: Observing | None = None
        """Where the gates of releases hear of requests of experiments."""
        self.spending = Spending()
        metrics.watch(SPENT, lambda: self.spending.reading(clock.wall()))
        metrics.watch(PROMPTS_HELD, lambda: [((), float(self._held.bytes))])

    @property
    def held(self) -> HeldPrompts:
        """The worker's."""
        return self._held

    @property
    def format_time(self) -> Callable[[float], str]:
        """Turns Unix seconds into the record's time."""
        return self._format_time

    def write(self, record: RequestRecord) -> None:
        """Take the record of something that no client asked for, as it is: it is counted nowhere here."""
        for sink in self.sinks:
            sink.write(record)

    def assigned(self, assignment: Assignment) -> int:
        return UNTOLD if self.observing is None else self.observing.assigned(assignment)

    def unserved(self, assignment: Assignment, record_id: bytes) -> None:
        if self.observing is not None:
            self.observing.unserved(assignment, record_id)

    def shed(self, model: str, reason: str) -> None:
        self._metrics.count(SHED, model, reason)

    def settle(self, flight: Flight) -> None:
        attempt = flight.attempt
        usage = None
        wall_s = clock.wall()
        received_s, finished_s = flight.received_s, flight.finished_s
        duration_s = finished_s - received_s
        ttft_s = tpot_s = overhead_s = None
        assignment = flight.facts.assignment
        arm = "" if assignment is None else assignment.arm
        engine = replica = upstream_model = finish_reason = price_source = bundle = ""
        said: Said | None = None
        cost: float | None = None
        unpriced = False
        first_byte_s = 0.0
        last_usage: Usage | None = None
        continuation = flight.continuation
        if attempt is None:
            series = self._metrics.series(flight.model, "", arm)
        else:
            upstream = attempt.upstream
            endpoint = upstream.endpoint
            engine, replica, upstream_model = endpoint.engine, endpoint.replica, upstream.model
            # The arm is the request's: after a rollback, one that waited is served by another.
            series = upstream.series if upstream.arm == arm else self._metrics.series(flight.model, engine, arm)
            finish_reason, price_source, said = attempt.finish_reason, upstream.price_source, attempt.said
            bundle = upstream.bundle
            overhead_s = flight.first_dispatch_s - received_s - flight.queue_s
            usage = attempt.usage
            if attempt.content_events:
                usage = attempt.metered(lost_prompt_tokens(flight, attempt) if usage is None else 0)
            elif usage is None and flight.error_kind:
                usage = lost_usage(flight, attempt)
            priced = usage is not None and usage is attempt.told_usage
            if usage is not None and usage.unsaid:
                usage = whole_usage(flight, attempt, usage)
            continued = continuation is not None and continuation.count > 0
            if usage is not None and not flight.error_kind and usage.source == "reported" and not continued:
                cut = finish_reason == "length"
                flight.tokens.learn(flight.prompt_bytes, usage.input_tokens, usage.output_tokens, finished_s, cut)
                if upstream.endpoint.state.slot >= 0:
                    attempt.compare(flight.facts.prompt_tokens, usage, finished_s)
            if price_source or len(flight.attempts) > 1:
                # What the client knows already stays.
                cost = attempt.told_cost_usd if priced else cost_usd(flight.attempts, attempt, usage, finished_s)
            if len(flight.attempts) > 1 or cost is None or (usage is None and upstream.rates is not None):
                unpriced = flight.operation not in FREE and is_unknown(flight.attempts, attempt, usage, finished_s)
                if unpriced:
                    series.unpriced += 1
                    # What is known of it: budgets, which are read from records too, must not see nothing.
                    cost = cost_usd(flight.attempts, attempt, usage, finished_s, True) or None
            last_usage, began = usage, attempt
            if continuation is not None and continuation.began is not None:
                usage, began = continuation.whole(usage), continuation.began
            if flight.streams and began.first_byte_s:
                first_byte_s = began.first_byte_s
                ttft_s = first_byte_s - began.dispatched_s
                if usage is not None and usage.output_tokens > 1 and attempt.last_content_s:
                    tpot_s = (attempt.last_content_s - began.first_byte_s) / (usage.output_tokens - 1)
                    if not continued:
                        upstream.endpoint.state.decode.learn(tpot_s * 1e3, finished_s)
        flight.cost_usd = cost
        series.settle(flight.answer_status, duration_s, ttft_s, tpot_s, overhead_s, usage, cost)
        if flight.queue_s:
            series.queue.observe(flight.queue_s)
        if cost is not None:
            self.spending.add(flight.principal.key_id, flight.principal.tenant, cost, cost, wall_s)
        if flight.error_kind:
            series.error(flight.error_kind)
        if flight.transcript is not None:
            flight.transcript.end(flight, self.contents)
        record_id = flight.record_id.decode()
        if assignment is not None and assignment.counted and self.observing is not None:
            since_s = first_byte_s - flight.first_dispatch_s if first_byte_s else None
            self.observing.settled(flight, assignment, record_id, since_s, tpot_s, cost)
        if not self.sinks:
            return
        model = flight.model
        if series.model != model and is_wildcard(series.model) and not _knows_name(attempt):
            model = series.model
            if attempt is not None:
                upstream_model = attempt.upstream.endpoint.model
        principal = flight.principal
        tier = response_id = response_model = fingerprint = ""
        cached_tokens = cache_write_tokens = reasoning_tokens = 0
        input_tokens = output_tokens = None
        usage_source = ""
        if usage is not None:
            if usage.counts_tokens:
                input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
            cached_tokens, cache_write_tokens = usage.cached_tokens, usage.cache_write_tokens
            reasoning_tokens, usage_source, tier = usage.reasoning_tokens, usage.source, usage.tier
        if said is not None:
            response_id, response_model, fingerprint = said.id or "", said.model or "", said.system_fingerprint or ""
            if response_model == upstream_model:
                response_model = ""
            if len(response_id) + len(response_model) + len(fingerprint) > MOST_SAID:
                response_id, response_model, fingerprint = (
                    shortened(response_id),
                    shortened(response_model),
                    shortened(fingerprint),
                )
        told = flight.request.fields.get(b"traceparent")
        record = RequestRecord(  # by position, in the order of its fields: by name they would cost 1.3 us more
            self._format_time(wall_s - duration_s),
            flight.request_id.decode(),
            record_id,
            flight.request.path.decode(),  # spells the operation, and costs a fifth of asking an enum for its value
            model,
            flight.answer_status,
            int(duration_s * 1e6) / 1e3,
            flight.streams,
            engine,
            replica,
            arm,
            upstream_model,
            len(flight.attempts),
            flight.error_kind,
            finish_reason,
            None if ttft_s is None else int(ttft_s * 1e6) / 1e3,
            None if tpot_s is None else int(tpot_s * 1e6) / 1e3,
            None if overhead_s is None else int(overhead_s * 1e6) / 1e3,
            input_tokens,
            output_tokens,
            cached_tokens,
            cache_write_tokens,
            reasoning_tokens,
            usage_source,
            cost,
            principal.key_id,
            principal.tenant,
            "" if told is None else trace_id_of(told),
            int(flight.queue_s * 1e6) / 1e3 if flight.queue_s else None,
            "" if cost is None else price_source,
            tier,
            response_id,
            response_model,
            fingerprint,
            bundle,
        )
        if assignment is not None and assignment.counted:
            record.experiment, record.unit = assignment.experiment, assignment.digits
            record.shares = self._shares.of(assignment.shares)
        if flight.trace is not None:
            note_trace(record, flight.trace)
        if attempt is not None:
            if flight.error_kind:
                record.reason = reason_of(attempt, flight.operation)
            if continuation is not None and continuation.count:
                record.response_id = continuation.response_id
            if usage is not None and (usage.parts is not None or usage.units is not None):
                note_more(record, usage)
            if unpriced:
                record.unpriced = True
            if len(flight.attempts) > 1 or (flight.trace is not None and flight.trace.sampled):
                record.tries = attempt_records(flight, last_usage)
        for sink in self.sinks:
            sink.write(record)

    def refused(
        self,
        request: Request,
        request_id: bytes,
        record_id: bytes,
        operation: Operation,
        model: str,
        key_id: str,
        failure: Failure,
        received_s: float,
    ) -> None:
        """Account for a request that never became a flight."""
        duration_s = clock.monotonic() - received_s
        series = self._metrics.series(model)
        series.settle(failure.status, duration_s)
        series.error(failure.kind)
        record = RequestRecord(
            time=self._format_time(clock.wall() - duration_s),
            request_id=request_id.decode(),
            record_id=record_id.decode(),
            operation=operation.value,
            model=series.model,
            status=failure.status,
            duration_ms=int(duration_s * 1e6) / 1e3,
            error=failure.kind,
            reason=in_short(failure.message),
            asked_model=spelt(model) if series.model == OTHER else "",
            key_id=key_id,
            trace_id=trace_id_of(request.fields.get(b"traceparent")),
        )
        if self.tracing is not None:
            note_trace(record, self.tracing.begin(request.fields))
        for sink in self.sinks:
            sink.write(record)

    def turned_away(self, failure: Failure, path: bytes, request_id: bytes, record_id: bytes) -> None:
        """Account for a request that the server refused before it was read whole, so that little is known of it."""
        series = self._metrics.series("")
        series.settle(failure.status, 0.0)
        series.error(failure.kind)
        operation = PATHS.get(path.partition(b"?")[0])
        record = RequestRecord(
            time=self._format_time(clock.wall()),
            request_id=request_id.decode(),
            record_id=record_id.decode(),
            operation=operation.value if operation is not None else OTHER,
            model=series.model,
            status=failure.status,
            duration_ms=0.0,
            error=failure.kind,
            reason=in_short(failure.message),
        )
        if self.tracing is not None:
            note_trace(record, self.tracing.begin({}))
        for sink in self.sinks:
            sink.write(record)

    def retried(self, engine: str, outcome: Outcome) -> None:
        self._metrics.count(RETRIES, engine, outcome.value)

    def hedged(self, model: str, result: str) -> None:
        self._metrics.count(HEDGES, model, result)

    def hedge_withheld(self, model: str, reason: str) -> None:
        self._metrics.count(HEDGES_WITHHELD, model, reason)

    def continued(self, model: str, result: str) -> None:
        self._metrics.count(CONTINUATIONS, model, result)

    def not_continued(self, model: str, reason: str) -> None:
        self._metrics.count(NOT_CONTINUED, model, reason)

    def fell_back(self, model: str, source: str, target: str) -> None:
        self._metrics.count(FALLBACKS, model, source, target)


def _knows_name(attempt: Attempt | None) -> bool:
    """Whether an engine has answered to what the client put in the place of a wildcard's star.

    Anybody may invent names, and the store keeps each that it meets for good: it meets those alone that there are.
    """
    if attempt is None or not 200 <= attempt.status < 300:
        return False
    upstream = attempt.upstream
    return upstream.model != upstream.endpoint.model


def note_trace(record: RequestRecord, trace: Trace) -> None:
    record.trace_id, record.span_id = trace.trace_id.decode(), trace.span_id.decode()
    record.parent_span_id, record.sampled = trace.parent_id.decode(), trace.sampled
    record.parameters = trace.parameters
