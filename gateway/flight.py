"""The story of one inference request, from its last byte in to its settlement: a state machine driven by callbacks.

    begin ─> send ──first body byte of a 2xx──> answering ──> the relay ends it ──> settled
              │  └─ failed before that ─> retrying ─> send (at once, or by timer)
              │                               └─ give up ─> the reply tells the failure ─> settled
              └─ client gone: every attempt abandoned, settled (from any state)

It owns its attempts (`gateway.attempt`: one engine call each), what is to come after those that failed
(`gateway.retrying`) and the reply (`gateway.reply`).

No task and no future per request: on uvloop they cost 7 us, more than routing, metrics and the access line together
(measured). What must wait (a back-off) waits in a timer.

Laws:
- our own response head is held until the first body byte of a 2xx answer, so everything before it may be retried;
- after that byte nothing but an error behind comments alone is retried: a failure is told inside the stream;
- of several attempts at once, the first to answer is the answer, and the others are abandoned at that moment;
- `settle` runs exactly once, whatever happens, and gives back everything that was taken.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from engines.model import Deadlines, Operation
from engines.operations import OPERATION_KEYS
from engines.wire import DIALECTS
from gateway import clock
from gateway.accounts.lost import LARGE_BYTES, give_up, let_go_tokens, lost_usage, whole_usage
from gateway.accounts.settlement import UNTOLD
from gateway.attempt import Attempt, Owner
from gateway.body.prompt import Prompt
from gateway.client_time import due_s
from gateway.continuation import Continuation
from gateway.errors import TABLE, TRIED_ENOUGH, Failure
from gateway.guarded import guarded
from gateway.hedge import Hedge
from gateway.http.handler import Work
from gateway.placing import Placing, told
from gateway.preparing import AT_ONCE_BYTES, LATER_BYTES, must_write, prepared, written
from gateway.record_ids import id_lines
from gateway.relay.headers import own_headers
from gateway.relay.opening import Opening, open_relay
from gateway.reply import Reply
from gateway.retrying import Retrying
from routing.choosing.policy import choose, is_full
from routing.failing.blame import verdict_of
from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome
from routing.failing.retry import deeper_tier_left

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines.model import Usage
    from engines.port import Outgoing, Sink
    from gateway.fleet.snapshot import Serving
    from gateway.incoming import Here, Incoming
    from gateway.relay.transcript import Transcript
    from gateway.tracing import Trace
    from routing.model import Endpoint
    from routing.waiting.turns import Ticket

log = structlog.get_logger()


class Flight(Owner, Opening, Work):
    """One request in progress: the work of its connection, the owner of its attempts, the account of its relay."""

    # Defaults live on the class: setting them all for each request would cost 1 us.
    deadlines: Deadlines | None = None
    """The client's own, where it told any; see `gateway.client_time`."""
    attempt: Attempt | None = None
    """The one that answers, or the last one sent."""
    first_dispatch_s = 0.0
    queue_s = 0.0
    """How long it waited until there was room."""
    finished_s = 0.0
    cost_usd: float | None = None
    """Of all its attempts; known once it is settled."""
    trace: Trace | None = None
    error_kind = ""
    answer_status = 0
    lost_tokens = 0
    """See `gateway.accounts.lost.Asked`."""
    observed = UNTOLD  # its number among what gates of experiments are told of
    settled = False
    preparing = False
    """It was read in turns of the loop, and has begun since, or begins with the last of them."""
    continuation: Continuation | None = None
    """From the first byte, where the answer may go on elsewhere."""
    transcript: Transcript | None = None
    _retrying: Retrying | None = None
    """From its first failed attempt on, for as long as another may be made."""
    _hedge: Hedge | None = None
    """Until the first byte, of a stream that may be asked for twice."""
    _waiting: Ticket | None = None
    placing: Placing | None = None
    """While what an attempt sends is written."""
    _paused = False
    _blamed = False
    """Whether one of its attempts was told as a failure of its replica."""

    def __init__(self, incoming: Incoming, here: Here, prompt: Prompt | None = None) -> None:
        """`prompt`: what it sends, where that is not just what it brought."""
        self.request = request = incoming.request
        self.operation = operation = incoming.operation
        self.dialect = DIALECTS[operation]
        """The client's."""
        self.request_id, self.record_id = incoming.request_id, incoming.record_id
        self.principal = incoming.principal
        parsed, serving = incoming.parsed, incoming.serving
        self.streams = parsed.stream
        self._settlement = here.settlement
        self._room = here.room
        self._loop = here.loop
        self._rng = here.rng
        self.received_s = incoming.received_s
        self.attempts: list[Attempt] = []
        self.prompt_bytes = len(request.body)
        # What may be large, and what belongs to the fleet of the moment, until the answer is `committed`.
        if prompt is None:
            prompt = Prompt(operation, request.body, parsed, request.forwarded, incoming.request_id)
        self._serving: Serving | None = serving
        self._prompt: Prompt | None = prompt
        self.model, self.tokens = serving.route.name, serving.route.tokens
        self.facts = prompt.facts(OPERATION_KEYS[operation], self.tokens, incoming.principal)
        self.reply = Reply(request.connection, self.dialect, incoming.request_id)

    def follow(self, trace: Trace) -> None:
        """Its spans, and those of its engines, belong to this trace."""
        self.trace = trace
        assert self._prompt is not None
        self._prompt.trace = trace

    # -- the way up ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Choose an endpoint and send."""
        serving = self._serving
        assert serving is not None
        large = self.prompt_bytes > LATER_BYTES
        if (serving.prepares or large) and not self.preparing and not prepared(self, serving, self._prompt, self._loop):
            return
        route, facts = serving.route, self.facts
        route.budget.deposit()
        if self.deadlines is not None:
            facts.deadline_s = due_s(self.deadlines, self.received_s)
        now = clock.monotonic() if self.preparing else self.received_s
        asks = route.refuse_late_ms > 0.0 or facts.deadline_s is not None
        endpoint = choose(route, facts, now, self._rng)
        if endpoint is None:
            self._waiting = self._room.hold(self, serving, now)
        elif asks or self._room.busy or is_full(endpoint, facts, route, now):
            self._serving = None
            self._waiting = self._room.enter(self, serving, endpoint, now)
        else:
            self.send(endpoint, now)

    def called(self, serving: Serving, endpoint: Endpoint, waited_s: float, now: float) -> None:
        """There is room for it at this endpoint, of the fleet of now."""
        self._waiting = None
        self._serving = serving
        self.queue_s = waited_s
        guarded(self, partial(self.send, endpoint, now))  # whoever made room must not suffer for it

    def send(self, endpoint: Endpoint, now: float) -> None:
        """One more attempt, at an endpoint that was chosen at `now`."""
        serving, prompt = self._serving, self._prompt
        assert serving is not None
        assert prompt is not None
        upstream = serving.upstreams[endpoint]
        if self.prompt_bytes > AT_ONCE_BYTES and must_write(prompt, upstream):
            attempt = Attempt(self, upstream, self.facts, self.streams, now, self._rng)
            self.attempts.append(attempt)
            placing = self.placing = self.placing or Placing(self, self._loop)
            placing.write(attempt, serving, prompt)
            return
        outgoing = told(self, prompt, upstream)
        if outgoing is not None:
            attempt = Attempt(self, upstream, self.facts, self.streams, now, self._rng)
            self.attempts.append(attempt)
            self.dispatch(attempt, outgoing, serving, prompt)

    def dispatch(self, attempt: Attempt, outgoing: Outgoing, serving: Serving, prompt: Prompt) -> None:
        """What an attempt sends is written, and leaves."""
        if self.trace is not None:
            self.trace.enter(attempt, outgoing)
        self.attempt, endpoint = attempt, attempt.upstream.endpoint
        now = clock.monotonic()
        if len(self.attempts) == 1:
            self.first_dispatch_s = now
            hedging = serving.route.hedging
            if hedging is not None and self.streams and self.operation is not Operation.RESPONSES:
                self._hedge = Hedge(self, serving.route, hedging, self._settlement, self._loop, self._rng, now)
        bounds, fallback = self.deadlines, False
        if bounds is not None and bounds.first_byte_s < float("inf"):  # else it waits as long as the engine may take
            tried = None if self._retrying is None else self._retrying.state
            fallback = deeper_tier_left(serving.route, self.facts, endpoint.tier, now, tried)
        attempt.send(outgoing, bounds, now, now - self.received_s, fallback)
        if serving.route.notes:
            prompt.sent(serving.route, self.facts, endpoint)
        if self._paused:
            attempt.pause()

    # -- gateway.attempt.Owner -----------------------------------------------------------------------------------------

    def answering(self, attempt: Attempt) -> Sink:
        """The first byte is here: from now on this attempt is the answer, and the relay that fits it takes the rest."""
        self.attempt = attempt
        if self.placing is not None:
            self.placing.withdraw()
        hedge, self._hedge = self._hedge, None
        if hedge is not None:
            hedge.answered(attempt)
        if len(self.attempts) > 1:
            give_up(self, self.attempts, attempt)
        serving, prompt = self._serving, self._prompt
        assert serving is not None
        assert prompt is not None
        continuation, transforms = self.continuation, serving.event_transforms
        if continuation is not None:
            transforms = continuation.transforms()
        elif serving.route.continuations and self.streams:
            continuation = Continuation(self, prompt, serving, self._settlement, self._room.serving, self._rng)
            self.continuation = continuation
        recorder = continuation if continuation is not None and continuation.keeps else None
        return open_relay(self, attempt, self.reply, prompt, transforms, recorder)

    def blame(self, attempt: Attempt, outcome: Outcome, now: float) -> Verdict:
        """The first failure that this request may have caused counts; the rest may be its own."""
        endpoint = attempt.upstream.endpoint
        if outcome is Outcome.CREDENTIALS_REFUSED and endpoint.state.stand_aside(now):
            log.warning("credentials_refused", engine=endpoint.engine, replica=endpoint.replica, status=attempt.status)
        serving = self._serving
        if serving is None:  # the answer has begun; who else might have given it, the fleet of now says
            serving = self._room.serving(self.model, self.facts.assignment)
        speakers = None if serving is None else serving.route.speakers.get(self.facts.operation)
        pools: tuple[tuple[Endpoint, ...], ...] = () if speakers is None else speakers.pools
        verdict = verdict_of(outcome, endpoint, pools, self._blamed, now)
        if verdict is Verdict.FAILURE:
            self._blamed = True
        return verdict

    def failed_early(self, attempt: Attempt) -> None:
        """An attempt ended before its first body byte: again, or not."""
        guarded(self, partial(self._go_on, attempt))

    def _go_on(self, attempt: Attempt) -> None:
        attempt.usage = lost_usage(self, attempt)
        if self.settled or (self.continuation is not None and self.continuation.failed(attempt)):
            return
        if self._retrying is None:
            self._retrying = Retrying(self, self._settlement, self._loop, self._rng)
        assert self._serving is not None
        self._retrying.failed(attempt, self._serving.route)

    def written(self, endpoint: Endpoint, then: Callable[[], None]) -> bool:
        """Whether this one may be sent it now; else `then` is called soon. See `gateway.preparing.written`."""
        serving, prompt = self._serving, self._prompt
        assert serving is not None
        assert prompt is not None
        return written(self, prompt, serving.upstreams[endpoint], self._loop, then)

    def resend(self, serving: Serving, prompt: Prompt, endpoint: Endpoint, now: float) -> None:
        """One more attempt, with another prompt, in the fleet of now."""
        self._serving, self._prompt = serving, prompt
        self.send(endpoint, now)

    def used(self, attempt: Attempt) -> Usage | None:
        return whole_usage(self, attempt, attempt.usage)

    # -- failing -------------------------------------------------------------------------------------------------------

    def fail(self, failure: Failure) -> None:
        """Tell a failure of our own, and settle. Whatever is wrong with the request, its client is not left to wait."""
        self.error_kind = failure.kind
        try:
            if self.placing is not None:
                self.placing.withdraw()
            for attempt in self.attempts:
                attempt.stop()  # of one that a mistake overtook, on its way still
            headers = self.head_down()
            if TABLE[failure.kind].retried_here and (len(self.attempts) > 1 or failure.charged):
                headers += TRIED_ENOUGH
            self.settle(self.reply.status_of(failure))
            self.reply.fail(failure, headers)
        except Exception:
            log.exception("failure_untold")
            self._break_off()

    def _break_off(self) -> None:
        try:
            self.settle(self.reply.status or 500)
        finally:
            self.reply.cut()

    def sentence(self, message: str) -> str:
        """A message of ours: of which model, engine and attempt it is."""
        attempt = self.attempt
        if attempt is None:
            return f"model {self.model!r}: {message}"
        engine = attempt.upstream.endpoint.engine
        return f"model {self.model!r}: {message} (engine {engine}, attempt {len(self.attempts)})"

    # -- gateway.http.handler.Work -------------------------------------------------------------------------------------

    def client_gone(self) -> None:
        """The client left: stop the engine's work now."""
        if self.settled:
            return
        if self._retrying is not None:
            self._retrying.stop()
        if self._waiting is not None:
            self._room.leave(self, self._waiting)
        give_up(self, self.attempts, None)
        self.error_kind = self.error_kind or "client_gone"
        self.settle(499)

    def client_paused(self) -> None:
        self._paused = True
        for attempt in self.attempts:
            attempt.pause()

    def client_resumed(self) -> None:
        self._paused = False
        for attempt in self.attempts:
            attempt.resume()

    # -- gateway.relay.account.Account ---------------------------------------------------------------------------------

    def head_down(self) -> bytes:
        """The gateway's own response headers."""
        named = id_lines(self.request_id, self.record_id, self.dialect)
        overhead_s = self.first_dispatch_s - self.received_s - self.queue_s
        return own_headers(named, self.facts.assignment, self.attempt, len(self.attempts), overhead_s)

    def commented(self) -> bool:
        attempt, prompt = self.attempt, self._prompt
        return (
            attempt is not None and prompt is not None and attempt.hold_prompt(self._settlement.held, prompt.kept_bytes)
        )

    def committed(self) -> None:
        """The answer leaves, so nothing will be sent again: let go of the prompt, and of the fleet of that moment.
        A stream may last for minutes; 9,000 of them with prompts of 32 KB held 590 MB."""
        serving, self._serving, self._retrying = self._serving, None, None
        if serving is None:
            return
        if self.continuation is not None:
            self.continuation.committed()
            if self.continuation.keeps:
                self._prompt = None  # which it has
                return
        self.let_go()

    def let_go(self) -> None:
        """Nobody will be asked again: nothing of the prompt is needed."""
        if self.prompt_bytes >= LARGE_BYTES:
            self.lost_tokens = let_go_tokens(self, self.attempt)
        self._prompt = None
        self.facts.let_go()
        self.request.body = b""

    def goes_on(self, attempt: Attempt, failure: Failure) -> bool:
        return self.continuation is not None and self.continuation.takes_over(attempt, failure)

    def settle(self, status: int) -> None:
        """Close the account: called once for every request, by whoever ends it."""
        if self.settled:
            return
        self.settled = True
        self.answer_status = status
        self.finished_s = now = clock.monotonic()
        self._retrying = None
        if self.placing is not None:
            self.placing.withdraw()
        hedge, self._hedge = self._hedge, None
        if hedge is not None:
            hedge.end()
        if len(self.attempts) > 1:
            give_up(self, self.attempts, self.attempt)
        for attempt in self.attempts:
            attempt.close(now)
        try:
            self._settlement.settle(self)
        finally:
            for attempt in self.attempts:
                attempt.forget()
            if self.continuation is not None:
                self.continuation.end()
                self.continuation = None
            if self._room.busy or self._room.went:
                self._room.over(self, now)
