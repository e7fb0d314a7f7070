"""One engine call: what it took, what it was told, and how it ended.

    sent ──head, first body byte of a 2xx──> answering: its owner names the sink that takes the rest
      ├─ error answer, no answer ──────────> `outcome` is set, everything is given back, its owner is told
      └─ abort (client gone, another attempt won) ──> everything is given back, nobody is told

An attempt knows its owner only as a port, and no client at all: a flight may own several, and something that has no
client (a copy of traffic, a probe that costs money) may own one. Its owner must call `close` in the end.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from engines.errors import AnswerTruncated, BadAnswer, EngineError, OutOfSockets
from engines.http1.secrecy import without
from engines.loads.header import ASK
from engines.model import Deadlines, Usage
from engines.port import Sink
from gateway import clock, engine_load, provider_limits
from gateway.attempt_ends import end_of, is_engines_fault, outcome_of_answer
from gateway.client_time import within
from gateway.refusing import shortage
from gateway.refusing.retry_after import retry_after_s
from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome
from routing.lease import Lease

if TYPE_CHECKING:
    from engines.port import Exchange, Headers, Outgoing
    from engines.wire.said import Said
    from gateway.body.held import HeldPrompts
    from gateway.fleet.snapshot import Upstream
    from routing.facts import RequestFacts

log = structlog.get_logger()

MAX_ERROR_BYTES: Final = 64 * 1024
"""How much of an engine's error answer is kept; enough for any message, small enough to hold for every request."""


class Owner(Protocol):
    """Whom an attempt tells of its progress."""

    __slots__ = ()

    def answering(self, attempt: Attempt) -> Sink:
        """The first body byte of a 2xx is here (or its end, of one without a body); returns who takes it and the rest.

        The prompt's share of the lease has been given back. Whoever takes it says `works` once something of it is
        used, or `refuse` when it turns out to be an error.
        """

    def blame(self, attempt: Attempt, outcome: Outcome, now: float) -> Verdict:
        """What the replica's breaker should hear of this end; see `routing.failing.blame`."""

    def failed_early(self, attempt: Attempt) -> None:
        """It ended without a body byte of a 2xx: `outcome` and `error_kind` say how. Its lease has been given back."""


class Attempt(Sink):
    """One engine call. It is the call's `Sink` until its answer begins."""

    # Defaults live on the class: setting them all for each attempt would cost 0.5 us.
    dispatched_s = 0.0
    first_byte_s = 0.0
    ended_s = 0.0
    last_content_s = 0.0
    """When the finish reason came, which is with or right after the last content."""
    status = 0
    """What the engine answered; 0 while, or because, it has not."""
    headers: Headers = ()
    outcome: Outcome | None = None
    """How it ended, when it ended early."""
    error_kind = ""
    """The row of `gateway.errors` for that end."""
    message = ""
    """What went wrong, as one plain sentence; only for the client while `error_parts` is None."""
    error_parts: list[bytes] | None = None
    """The engine's error answer, as far as it is kept."""
    error_event = b""
    """That answer as the client's stream would hold it, where it came as an event."""
    usage: Usage | None = None
    """What the engine has reported so far, also with an error; or what it will have charged for, unanswered."""
    said: Said | None = None
    """What it says of its answer as a whole."""
    content_events = 0
    """Events of a stream with content so far."""
    answer_bytes = 0
    """Of the text of a plain answer; known where its engine did not say how many tokens it is."""
    finish_reason = ""
    told_cost_usd: float | None = None
    told_usage: Usage | None = None
    """What the client has been told that the request costs, if this attempt used that."""
    span_id = b""
    """Where spans are made: 16 hex digits."""
    gpu_cost_usd: float | None = None
    in_flight = 0
    """At its replica at the dispatch, itself included; counted for requests of an experiment alone."""
    stands_in = False
    """Whether it was sent to another's target, as none of the arm's own was there."""
    _asked_load = False
    _heard = True
    _held: HeldPrompts | None = None
    _held_bytes = 0
    _error_size = 0
    _bounds: Deadlines | None = None
    """Those in force, where the client told its own."""
    _fallback = False
    _sent = False
    unsent_share = 0.0  # of its body, once it has ended: see `engines.port.Exchange`

    def __init__(
        self, owner: Owner, upstream: Upstream, facts: RequestFacts, streams: bool, now: float, rng: random.Random
    ) -> None:
        """Takes a lease on `upstream`, which must be available at `now`. `streams`: a stream is asked for."""
        self._owner: Owner | None = owner
        self.exchange: Exchange | None = None
        """The call while it runs."""
        self._rng = rng
        self._streams = streams
        self.upstream = upstream
        state = upstream.endpoint.state
        self._lease = Lease(state, facts, now, upstream.meter, upstream.series)
        if facts.assignment is not None:
            self.in_flight = state.in_flight_requests + state.remote_requests
            self.stands_in = upstream.exhausted(now)

    def written_at(self, now: float) -> None:
        """It had its place while its body was written, and is sent now."""
        self._lease.sent(now)

    def send(
        self, outgoing: Outgoing, bounds: Deadlines | None, now: float, spent_s: float, fallback: bool = False
    ) -> None:
        """Call the engine. `bounds` are the client's, of whose time `spent_s` are gone; `fallback`: a deeper tier may
        still be asked.

        It may fail, and its owner make and send another attempt, before this returns.
        """
        self.dispatched_s = now
        upstream = self.upstream
        deadlines = upstream.deadlines
        if bounds is not None:
            # Each attempt has what is left of the client's time, the whole of which runs from the request.
            self._bounds = deadlines = within(deadlines, bounds, spent_s, fallback)
            self._fallback = fallback
        if upstream.asks_load and engine_load.due(upstream, now):
            outgoing.headers += ASK
            self._asked_load = True
        exchange = upstream.engine.send(upstream.endpoint.replica, outgoing, deadlines, self)
        if self._lease.held:
            self.exchange = exchange

    # -- engines.port.Sink, until the first body byte of a 2xx answer --------------------------------------------------

    def head(self, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        if not 200 <= status < 300:
            self.error_parts = []
        if self._asked_load:
            engine_load.heard(self.upstream, headers)
        if self.upstream.engine.tells_limits and self._heard:
            provider_limits.heard(self.upstream, headers)

    def data(self, data: bytes) -> None:
        parts = self.error_parts
        if parts is None:
            self._begin().data(data)
        elif self._error_size < MAX_ERROR_BYTES:
            parts.append(data)
            self._error_size += len(data)

    def flush(self) -> None:
        pass  # an error answer is collected whole

    def done(self) -> None:
        if self.error_parts is None:
            # A 2xx without a body: of a stream nothing that could be relayed.
            if self._streams:
                self.said_nothing()
            else:
                self._begin().done()
            return
        status = self.status
        if status < 400:
            self.error_parts = None
            self.fail(Outcome.BAD_ANSWER, "bad_answer", f"the engine answered {status}; redirects are not followed")
        else:
            self._fail_with(status, self.error_parts)

    def failed(self, error: EngineError) -> None:
        """The last word of its call: a mistake in it ends it all the same."""
        try:
            self._failed(error)
        except Exception:
            log.exception("attempt_mistaken")
            self.outcome, self.error_kind, self.message = Outcome.BAD_ANSWER, "bad_answer", str(error)
            if self._lease.held:
                self.close(clock.monotonic())
                if self._owner is not None:
                    self._owner.failed_early(self)

    def _failed(self, error: EngineError) -> None:
        if self._error_size >= MAX_ERROR_BYTES and isinstance(error, (AnswerTruncated, BadAnswer)):
            self.done()  # an error answer without end: what is kept of it says enough
            return
        outcome, kind = end_of(error)
        if outcome is Outcome.FIRST_BYTE_TIMEOUT and not self.is_engines_fault(error):
            outcome = Outcome.TOO_SLOW if self._fallback else Outcome.OUT_OF_TIME
        if isinstance(error, OutOfSockets):
            shortage.tell(clock.monotonic(), str(error))
        self.error_parts = None
        self.status = 0
        self.fail(outcome, kind, str(error))

    def _begin(self) -> Sink:
        self.first_byte_s = clock.monotonic()
        self._lease.first_byte()
        assert self._owner is not None
        sink = self._owner.answering(self)
        if self.exchange is not None:
            self.exchange.sink = sink
        return sink

    # -- what the relay says of the answer -----------------------------------------------------------------------------

    def works(self) -> None:
        """Something of the answer is used. Safe to call again."""
        self._lease.works(self.first_byte_s, self._rng)
        if self._held is not None:
            self._release_prompt()

    def hold_prompt(self, held: HeldPrompts, size: int) -> bool:
        """Have the prompt, of so many bytes, counted as kept behind comments, until it works or is over; False when
        there is no room for it. Safe to call again."""
        if self._held is None and held.hold(size):
            self._held, self._held_bytes = held, size
        return self._held is not None

    def _release_prompt(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.release(self._held_bytes)

    def refuse(self, status: int, body: bytes, event: bytes = b"") -> None:
        """Its 200 was an error, and nothing of it is used: it failed as an answer with this status does. All of it is
        kept: cut anywhere it could not be read.

        `event`: what tells it inside a stream, where it came in one.
        """
        self.error_event = event
        self.stop()
        self.first_byte_s = 0.0
        self.content_events = 0
        self.status = status
        self.error_parts = [body]
        self._fail_with(status, self.error_parts)

    def said_nothing(self) -> None:
        """It ended before anything that could be told."""
        self.first_byte_s = 0.0
        self.fail(Outcome.BAD_ANSWER, "answer_truncated", "the engine's answer ended before it began")

    def untellable(self, kind: str, message: str) -> None:
        """Its answer is not to be told, though it is one that is charged for: no other is asked for."""
        self.stop()
        self.first_byte_s = 0.0
        self.fail(Outcome.UNTELLABLE, kind, without(self.upstream.engine.secrets, message))

    def unfit(self) -> None:
        """It answers with a document, and a stream has begun."""
        self.untellable("bad_answer", "the engine answered a request for a stream with a document")

    def broke(self, outcome: Outcome = Outcome.CUT_SHORT) -> None:
        """The answer broke, or was an error, after something of it was used."""
        now = clock.monotonic()
        owner = self._owner
        verdict = outcome.verdict if owner is None else owner.blame(self, outcome, now)
        self._lease.tell(verdict, now, self._rng, outcome.value)

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _fail_with(self, status: int, error_parts: list[bytes]) -> None:
        kind = "rate_limited" if status == 429 else f"engine_{status}"
        outcome = outcome_of_answer(status, self.headers, error_parts, self.upstream.model)
        if outcome is Outcome.RATE_LIMITED and self._heard:
            provider_limits.refused(self.upstream, self.retry_after_s(), error_parts)
        self.fail(outcome, kind, f"the engine answered {status}")

    def fail(self, outcome: Outcome, kind: str, message: str) -> None:
        """It is over, and no byte of its answer will be used."""
        self.outcome = outcome
        self.error_kind = kind
        self.message = message
        now = clock.monotonic()
        owner = self._owner
        verdict = outcome.verdict if owner is None else owner.blame(self, outcome, now)
        self._lease.tell(verdict, now, self._rng, outcome.value)
        self.close(now)
        if self._owner is not None:
            self._owner.failed_early(self)

    def abandon(self) -> None:
        """Nobody wants it any more, which says nothing about the replica."""
        if self._lease.held:
            now = clock.monotonic()
            self._lease.tell(Verdict.IGNORED, now, self._rng)
            self.stop()
            self.close(now)

    def unheard(self) -> None:
        """Nothing that becomes of it will be held for or against its replica or key, nor learned of it."""
        self._heard = False
        self._lease.tell(Verdict.IGNORED, clock.monotonic(), self._rng)

    def outrun(self, now: float) -> None:
        """Another attempt was answered first, and this one is to be abandoned."""
        self._lease.outrun(now)

    def stop(self) -> None:
        """Stop the engine's work; its sink hears nothing more."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.abort()
            self._sent, self.unsent_share = exchange.written, exchange.unsent_share

    def close(self, now: float) -> None:
        """Give back what is still held. Safe to call twice."""
        # A call knows its sink, the sink its flight: without this cut each request would be garbage for the collector,
        # which would stop all streams for 50 ms now and then (measured) to find it.
        if self.exchange is not None and (self.status == 0 or self.exchange.unsent_share):
            self._sent, self.unsent_share = self.exchange.written, self.exchange.unsent_share
        self.exchange = None
        if self._lease.held:
            self.ended_s = now
            self.gpu_cost_usd = self._lease.release(now)
            self._release_prompt()

    def forget(self) -> None:
        """Its owner has read what it wanted; neither keeps the other alive from now on."""
        self._owner = None

    # -- what its owner and the relay ask ------------------------------------------------------------------------------

    def gpu_cost_so_far_usd(self, now: float) -> float | None:
        """What it has cost of GPU time, over or not; None where nothing measures it."""
        return self._lease.cost_so_far_usd(now) if self._lease.held else self.gpu_cost_usd

    def metered(self, prompt_tokens: int) -> Usage | None:
        """Its usage; of a stream whose engine had not reported it when it ended, estimated.

        A piece of content counts as a token, and the prompt as `prompt_tokens`, where nothing better is known.
        """
        usage, events = self.usage, self.content_events
        if usage is None:
            return Usage(prompt_tokens, events, source="estimated") if events else None
        if events <= usage.output_tokens or self.finish_reason:
            return usage
        return usage.estimated(events)

    def compare(self, prompt_tokens: int, usage: Usage, now: float) -> None:
        """Note how far what was predicted to be cached was from what was reported; `prompt_tokens` is the estimate."""
        predicted = self._lease.cached_tokens
        if predicted >= 0 and usage.input_tokens > 0:
            scaled = predicted * usage.input_tokens / prompt_tokens
            tally = self.upstream.endpoint.state.tally
            tally.take(scaled, usage.cached_tokens, usage.input_tokens, now, self._lease.taken_s)

    @property
    def sent(self) -> bool:
        """Whether a byte of its request has been written to the engine; told of one that was not answered."""
        return self._sent if self.exchange is None else self.exchange.written

    @property
    def over(self) -> bool:
        """Whether everything has been given back."""
        return not self._lease.held

    def pause(self) -> None:
        if self.exchange is not None:
            self.exchange.pause()

    def resume(self) -> None:
        if self.exchange is not None:
            self.exchange.resume()

    def is_engines_fault(self, error: EngineError) -> bool:
        """Whether an error counts against its replica: not when the client's own deadline or reading ended it."""
        return is_engines_fault(error, self._bounds, self.upstream.deadlines)

    def retry_after_s(self) -> float | None:
        """What the engine's answer asked for, in seconds."""
        return retry_after_s(self.headers, self.error_parts or ()) if self.status else None
