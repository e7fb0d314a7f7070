"""One flight between a fake client connection and fake engines, on a clock that only steps."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from engines.errors import EngineError, NotSent
from engines.loads import EngineLoad
from engines.model import Deadlines, Operation
from engines.model_list import ListedModel
from engines.port import Exchange, Headers, Outgoing, Replica, Sink
from engines.wire import DIALECTS, Dialect
from gateway.accounts.accounting import Accounting
from gateway.accounts.gpu import GpuMeter
from gateway.accounts.prices import Rates
from gateway.accounts.record import RequestRecord
from gateway.attempt import Attempt
from gateway.body import envelope
from gateway.body.held import HeldPrompts
from gateway.errors import Failure
from gateway.fleet.snapshot import UNNAMED, Serving, Snapshot, Upstream, Upstreams
from gateway.flight import Flight
from gateway.http.request import Request
from gateway.http.status_lines import STATUS_LINES
from gateway.identity import ANONYMOUS, Keyring
from gateway.incoming import Here, Incoming
from gateway.relay.transcript import Transcripts
from gateway.settings import Limits
from gateway.telemetry.metrics import Metrics
from gateway.tracing import Trace, Tracing
from gateway.transforms import NewEventTransform, RequestTransform
from gateway.waiting import WaitingRoom, Wakes
from routing.choosing.filters import Filter
from routing.choosing.policy import choose
from routing.experiments.experiment import Assignment
from routing.failing.breaker import BreakerSettings
from routing.failing.hedging import HedgingSettings
from routing.fleet import ModelSpec, TargetSpec, build_fleet, build_route
from routing.replicas.replica_table import ReplicaTable
from routing.route import RetrySettings
from routing.waiting.admission import DEFAULT_ADMISSION, AdmissionSettings
from routing.waiting.holding import Holding

SSE: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"),)
JSON: Headers = ((b"content-type", b"application/json"),)
NO_RETRY = RetrySettings(max_attempts=1)
KEEN = RetrySettings(max_retry_after_s=10.0, after_send=True)
"""Tries again wherever it may at all."""


class StepClock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class FakeTimer:
    def __init__(self, due_s: float, call: Callable[[], None]) -> None:
        self.due_s = due_s
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """The part of an event loop that a flight uses: timers, and the next turn."""

    def __init__(self, clock: StepClock) -> None:
        self.clock = clock
        self._timers: list[FakeTimer] = []
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[..., None], *args: Any) -> None:
        self.soon.append(partial(call, *args))

    def turn(self) -> bool:
        """What was put off to the next turn; returns whether there was anything."""
        soon, self.soon = self.soon, []
        for call in soon:
            call()
        return bool(soon)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> FakeTimer:
        self._timers.append(FakeTimer(self.clock.now_s + delay_s, call))
        return self._timers[-1]

    @property
    def waiting(self) -> list[FakeTimer]:
        return [timer for timer in self._timers if not timer.cancelled]

    def fire(self) -> None:
        """Step the clock to the next timer and run it."""
        timer = min(self.waiting, key=lambda waiting: waiting.due_s)
        self._timers.remove(timer)
        self.clock.now_s = max(self.clock.now_s, timer.due_s)
        timer.call()


class FakeExchange:
    """One call as an engine holds it. Obeys the port: nothing is told after the end or an abort."""

    def __init__(self, replica: str, body: bytes, headers: bytes, deadlines: Deadlines, sink: Sink) -> None:
        self.replica = replica
        self.body = body
        self.headers = headers
        self.deadlines = deadlines
        self.sink = sink
        self.written = True
        self.unsent_share = 0.0
        self.paused = False
        self.aborted = False
        self.ended = False

    @property
    def open(self) -> bool:
        return not (self.aborted or self.ended)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True

    def head(self, status: int = 200, headers: Headers = SSE) -> None:
        assert self.open
        self.sink.head(status, headers)

    def read(self, *pieces: bytes) -> None:
        """One read from the socket that brought these pieces of the body."""
        for piece in pieces:
            if self.open:
                self.sink.data(piece)
        if self.open and pieces:
            self.sink.flush()

    def done(self, *pieces: bytes) -> None:
        """The read that brings the last pieces, and the end of the body with them."""
        for piece in pieces:
            if self.open:
                self.sink.data(piece)
        if self.open:
            self.ended = True
            self.sink.done()

    def failed(self, error: EngineError) -> None:
        assert self.open
        self.ended = True
        if isinstance(error, NotSent):
            self.written = False
        self.sink.failed(error)

    def answer(self, status: int, body: bytes, headers: Headers = JSON) -> None:
        """A whole answer at once."""
        self.head(status, headers)
        self.done(*([body] if body else []))


class FakeEngine:
    """Keeps every call; `refusals` are told from within `send`, as a closed pool does."""

    kind = "vllm"
    operations = frozenset(Operation)
    keyed = False
    tells_limits = False
    tells_load = False
    continues_chat = True
    continuous_usage = False

    def __init__(self, name: str, replicas: int, secrets: tuple[bytes, ...], accepts_stream_options: bool) -> None:
        self.name = name
        self.replicas = tuple(Replica(str(number), f"http://{name}.test") for number in range(replicas))
        self.secrets = secrets
        self.accepts_stream_options = accepts_stream_options
        self.calls: list[FakeExchange] = []
        self.mistakes: list[Exception] = []
        """What the next calls raise that nobody expects."""
        self.refusals: list[EngineError] = []

    def dialect(self, operation: Operation) -> Dialect:
        return DIALECTS[operation]

    def send(self, replica_id: str, outgoing: Outgoing, deadlines: Deadlines, sink: Sink) -> Exchange:
        if self.mistakes:
            raise self.mistakes.pop(0)
        call = FakeExchange(replica_id, outgoing.body, outgoing.headers, deadlines, sink)
        self.calls.append(call)
        if self.refusals:
            call.failed(self.refusals.pop(0))
        return call

    async def probe(self, replica_id: str) -> str:
        return ""

    async def models(self, replica_id: str) -> Mapping[str, ListedModel] | None:
        return None

    async def load(self, replica_id: str) -> EngineLoad | None:
        return None

    async def version(self, replica_id: str) -> str:
        return ""

    async def close(self) -> None: ...


class FakeConnection:
    """A client that believes its server only if it answers once, and ends what it begins."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.writes: list[bytes] = []
        self.state = "waiting"

    @property
    def body(self) -> bytes:
        return b"".join(self.writes)

    @property
    def error(self) -> dict[str, Any]:
        """The error object of a plain answer."""
        error = json.loads(self.body)["error"]
        assert isinstance(error, dict)
        return error

    def _begin(self, status: int, headers: bytes) -> None:
        assert self.state == "waiting", f"a second answer, {status}"
        assert STATUS_LINES[status]
        self.status = status
        lines = headers.decode("latin-1").split("\r\n")
        assert lines.pop() == ""
        pairs = [line.split(": ", 1) for line in lines]
        assert len(pairs) == len({name for name, _ in pairs}), "a header twice"
        self.headers = {pair[0]: pair[1] for pair in pairs}

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        self._begin(status, headers)
        self.writes.append(body)
        self.state = "answered"

    def begin_stream(self, status: int, headers: bytes, first: bytes) -> None:
        self._begin(status, headers)
        self.state = "streaming"
        self.writes.append(first)

    def write(self, data: bytes) -> None:
        assert self.state == "streaming"
        assert data
        self.writes.append(data)

    def end_stream(self, last: bytes = b"") -> None:
        assert self.state == "streaming"
        self.writes.append(last)
        self.state = "answered"

    def cut(self) -> None:
        assert self.state == "streaming"
        self.state = "cut"


HELD_BYTES = 100_000
"""A bound that a test can fill."""


class Ledger:
    """The real accounting, which also remembers each settlement."""

    def __init__(self, metrics: Metrics) -> None:
        self.records: list[RequestRecord] = []
        self.accounting = Accounting(metrics, [self], lambda _: "2026-05-04T03:02:01.500Z")
        self.settled: list[Flight] = []
        self.retries: list[str] = []
        self.sheds: list[str] = []
        """Why requests were refused."""
        self.fallbacks: list[tuple[str, str]] = []
        self.hedges: list[str] = []
        """What became of each, and why others were withheld."""
        self.continuations: list[str] = []
        """What became of each, and why others were not made."""
        self.held = HeldPrompts(HELD_BYTES)
        self.tracing: Tracing | None = None

    @property
    def answered(self) -> Attempt:
        """The attempt that the only settled flight was answered by."""
        (flight,) = self.settled
        assert flight.attempt is not None
        return flight.attempt

    def write(self, record: RequestRecord) -> None:
        self.records.append(record)

    def settle(self, flight: Flight) -> None:
        self.settled.append(flight)
        self.accounting.settle(flight)

    def assigned(self, assignment: Assignment) -> int:
        return self.accounting.assigned(assignment)

    def unserved(self, assignment: Assignment, record_id: bytes) -> None:
        self.accounting.unserved(assignment, record_id)

    def shed(self, model: str, reason: str) -> None:
        self.sheds.append(reason)
        self.accounting.shed(model, reason)

    def retried(self, engine: str, outcome: Any) -> None:
        self.retries.append(outcome.value)
        self.accounting.retried(engine, outcome)

    def fell_back(self, model: str, source: str, target: str) -> None:
        self.fallbacks.append((source, target))
        self.accounting.fell_back(model, source, target)

    def hedged(self, model: str, result: str) -> None:
        self.hedges.append(result)
        self.accounting.hedged(model, result)

    def hedge_withheld(self, model: str, reason: str) -> None:
        self.hedges.append(reason)
        self.accounting.hedge_withheld(model, reason)

    def continued(self, model: str, result: str) -> None:
        self.continuations.append(result)
        self.accounting.continued(model, result)

    def not_continued(self, model: str, reason: str) -> None:
        self.continuations.append(reason)
        self.accounting.not_continued(model, reason)

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
        self.accounting.refused(request, request_id, record_id, operation, model, key_id, failure, received_s)


SPOKEN = frozenset(operation.value for operation in Operation)


class Bench:
    """Tiers of replicas (engine `t0` has `0`, `1`, ...), and flights over them."""

    def __init__(
        self,
        clock: StepClock,
        *tiers: int,
        retry: RetrySettings = KEEN,
        breaker: BreakerSettings | None = None,
        secrets: tuple[bytes, ...] = (),
        accepts_stream_options: bool = True,
        request_transforms: tuple[RequestTransform, ...] = (),
        event_transforms: tuple[NewEventTransform, ...] = (),
        admission: AdmissionSettings = DEFAULT_ADMISSION,
        hedging: HedgingSettings | None = None,
        continuations: int = 0,
        rates: Rates | None = None,
        content_bytes: int = 0,
        samples: Callable[[], float] | None = None,
        holding: Holding | None = None,
        wakes: Wakes | None = None,
        filters: tuple[Filter, ...] = (),
        policy: str = "round_robin",
        refuse_late_ms: float | None = None,
    ) -> None:
        """`content_bytes`: of prompts and of answers that many are kept; or, by the chance `samples`, half of the
        answers are heard. `refuse_late_ms`: the objective, if what would be late is refused, by the policy `slo`."""
        self.clock = clock
        self.loop = FakeLoop(clock)
        self.table = ReplicaTable(breaker)
        sizes = tiers or (1,)
        self.engines = [
            FakeEngine(f"t{tier}", size, secrets, accepts_stream_options) for tier, size in enumerate(sizes)
        ]
        targets = tuple(
            TargetSpec(engine.name, "up", tuple(replica.id for replica in engine.replicas), SPOKEN, tier)
            for tier, engine in enumerate(self.engines)
        )
        self.spec = spec = ModelSpec(
            "m",
            targets,
            policy,
            retry,
            slo_ttft_ms=refuse_late_ms,
            refuse_late=refuse_late_ms is not None,
            admission=admission,
            hedging=hedging,
            continuations=continuations,
            holding=holding,
        )
        fleet = build_fleet([spec], self.table)
        self.route = dataclasses.replace(fleet.models["m"], filters=filters)
        self.metrics = Metrics(["m"])
        self.meters = {state.key: GpuMeter(3600.0) for state in self.table}
        self.gpu = True
        """Whether time on a GPU is paid for; else what a provider is asked."""
        by_name = {engine.name: engine for engine in self.engines}
        self.ledger = Ledger(self.metrics)
        transcripts = Transcripts(self.ledger.held, content_bytes, "") if content_bytes else None
        if samples is not None:
            transcripts = Transcripts(
                self.ledger.held, content_bytes, "", False, 0.5, samples=True, chance=samples, now_s=clock
            )
        self.serving = Serving(
            self.route,
            Upstreams(
                lambda endpoint: Upstream(
                    endpoint,
                    by_name[endpoint.engine],
                    UNNAMED,
                    Deadlines(),
                    self.metrics.series("m", endpoint.engine),
                    rates,
                    self.meters[endpoint.state.key] if self.gpu else None,
                    bundle="v1",
                    transcripts=transcripts,
                )
            ),
            request_transforms,
            event_transforms,
        )
        self.snapshot = Snapshot(
            keyring=Keyring(),
            limits=Limits(),
            fleet=fleet,
            serving={("m", UNNAMED): self.serving},
            digest="",
        )
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.room = WaitingRoom(self.snapshot.arm, self.ledger, loop, random.Random(7), wakes)

    def join(self, engine: str, replica: str) -> None:
        """An engine without replicas has this one from now on."""
        targets = tuple(
            dataclasses.replace(target, replicas=(replica,)) if target.engine == engine else target
            for target in self.spec.targets
        )
        self.spec = dataclasses.replace(self.spec, targets=targets)
        self.route = build_route(self.spec, self.table, self.route)
        self.meters = {state.key: GpuMeter(3600.0) for state in self.table}
        self.serving = Serving(self.route, self.serving.upstreams)
        self.snapshot.serving["m", UNNAMED] = self.serving

    @property
    def calls(self) -> list[FakeExchange]:
        return [call for engine in self.engines for call in engine.calls]

    def begin(
        self,
        operation: Operation = Operation.CHAT,
        *,
        stream: bool = True,
        deadlines: Deadlines | None = None,
        fields: dict[bytes, bytes] | None = None,
        trace: Trace | None = None,
        assignment: Assignment | None = None,
        priority: int = 0,
        **members: object,
    ) -> tuple[Flight, FakeConnection]:
        """A flight that has begun, and its client."""
        connection = FakeConnection()
        body = json.dumps({"model": "m", "stream": stream, **members}).encode()
        request = Request(connection, b"POST", "1.1", operation.value.encode(), b"", [], fields or {}, body, True)
        flight = Flight(self.incoming(request, operation), self.here)
        flight.deadlines = deadlines
        flight.facts.assignment = assignment
        if assignment is not None and assignment.counted:
            flight.observed = self.ledger.assigned(assignment)
        flight.facts.priority = priority
        if trace is not None:
            flight.follow(trace)
        flight.begin()
        return flight, connection

    def incoming(self, request: Request, operation: Operation = Operation.CHAT) -> Incoming:
        """What a flight of this request begins with."""
        parsed = envelope.parse(request.body)
        return Incoming(request, operation, b"req-1", b"%032x" % 1, ANONYMOUS, parsed, self.serving, self.clock.now_s)

    @property
    def here(self) -> Here:
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        return Here(self.ledger, self.room, loop, random.Random(7))

    def send_another(self, flight: Flight) -> None:
        """A second attempt beside the one that runs, as hedging will make it."""
        now_s = self.clock.now_s
        tried = [attempt.upstream.endpoint for attempt in flight.attempts]
        endpoint = choose(self.route, flight.facts, now_s, random.Random(7), tried)
        assert endpoint is not None
        flight.send(endpoint, now_s)

    def forget(self) -> None:
        """Let go of every call and every settled flight."""
        self.ledger.settled.clear()
        for engine in self.engines:
            engine.calls.clear()

    def outstanding(self) -> dict[str, float]:
        """Everything taken and not given back, by what it is; empty when all is at rest."""
        taken: dict[str, float] = {}
        for state in self.table:
            taken[f"{state.key} requests"] = state.in_flight_requests
            taken[f"{state.key} tokens"] = state.in_flight_tokens
            taken[f"{state.key} prefill"] = state.prefill_tokens
            taken[f"{state.key} probes"] = state.breaker._probes
            taken[f"{state.key} meter"] = self.meters[state.key]._in_flight
        taken["waiting tokens"] = self.route.line.waiting_tokens
        taken["busy lines"] = len(self.room.busy)
        taken["guests"] = len(self.room.went)
        taken["held prompts"] = self.ledger.held.bytes
        for engine in self.engines:
            taken[f"{engine.name} series"] = self.metrics.series("m", engine.name).in_flight
        return {what: amount for what, amount in taken.items() if amount}
