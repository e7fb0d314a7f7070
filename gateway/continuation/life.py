"""The continuation of one request: made at its first byte where the model asks for it, let go when it is settled.

    holding ──engine died──> under way ──something of the next one leaves──> holding
       │                        ├─ it failed too ──> another one, or the failure that began it is told
       │                        └─ nobody is left ─> that failure is told
       └─ passed over, with the reason, and the failure is told as ever

Each continuation takes a token of the model's retry budget: a brown-out that breaks streams must not prefill all of
them again. It goes to a replica that serves the same upstream model and was not asked before.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
import structlog

from engines.model import Operation, Usage
from engines.operations import OPERATION_KEYS
from gateway import clock
from gateway.accounts.lost import lost_prompt_tokens, lost_usage, whole_usage
from gateway.continuation.rejoin import Rejoin
from gateway.continuation.request import continued, why_not
from gateway.continuation.said import RAW_BYTES, Said
from routing.choosing.policy import choose
from routing.failing.outcome import Outcome

if TYPE_CHECKING:
    from gateway.accounts.settlement import Settlement
    from gateway.attempt import Attempt
    from gateway.body.prompt import Prompt
    from gateway.errors import Failure
    from gateway.fleet.snapshot import Serving
    from gateway.http.request import Request
    from gateway.reply import Reply
    from gateway.transforms import NewEventTransform
    from routing.experiments.experiment import Assignment
    from routing.facts import RequestFacts
    from routing.model import Endpoint
    from routing.tokens import TokenEstimate

log = structlog.get_logger()


class Continued(Protocol):
    """A request that may go on elsewhere: `gateway.flight.Flight`."""

    model: str
    operation: Operation
    facts: RequestFacts
    request: Request
    tokens: TokenEstimate
    lost_tokens: int
    attempts: list[Attempt]
    reply: Reply
    error_kind: str

    def resend(self, serving: Serving, prompt: Prompt, endpoint: Endpoint, now: float) -> None:
        """One more attempt, with another prompt, in the fleet of now."""

    def committed(self) -> None: ...
    def let_go(self) -> None:
        """Nobody will be asked again."""

    def fail(self, failure: Failure) -> None: ...


class Continuation:
    """See the module."""

    def __init__(
        self,
        flight: Continued,
        prompt: Prompt,
        serving: Serving,
        settlement: Settlement,
        find: Callable[[str, Assignment | None], Serving | None],
        rng: random.Random,
    ) -> None:
        """`serving` is what the answering attempt was sent by, `find` names that of the moment."""
        self._flight = flight
        self._prompt: Prompt | None = None
        """While it is kept."""
        self._settlement = settlement
        self._find = find
        self._rng = rng
        self._most = serving.route.continuations
        self._said = Said()
        self._held_bytes = 0
        self._under_way = False
        self._failure: Failure | None = None
        self._next: Prompt | None = None
        self._began: Attempt | None = None
        self._operation = OPERATION_KEYS[flight.operation]
        self._tokens = 0
        """What the attempts that died have made; of which all reported it, where the source says so."""
        self._source: Literal["reported", "estimated"] = "reported"
        self._pieces = 0
        self.count = 0
        """How often it was continued."""
        self._why_not = "transforms" if serving.event_transforms else why_not(self._operation, prompt.body)
        if not self._why_not:
            self._prompt = prompt
            self._hold(len(prompt.body) + RAW_BYTES)

    @property
    def keeps(self) -> bool:
        """Whether the prompt and what is said are kept."""
        return bool(self._held_bytes)

    def _hold(self, size: int) -> None:
        if self._settlement.held.hold(size):
            self._held_bytes += size
        else:
            self._why_not = "memory"
            self._let_go()

    def _let_go(self) -> None:
        self._settlement.held.release(self._held_bytes)
        self._held_bytes = 0
        self._prompt = None
        self._said = Said()

    # -- while the answer passes ---------------------------------------------------------------------------------------

    def note(self, events: list[bytes]) -> None:
        """These leave now."""
        prompt = self._prompt
        if prompt is not None and self._said.take(events):
            known = self._held_bytes - len(prompt.body) - RAW_BYTES
            self._hold(self._said.text_bytes - known)
            if not self._held_bytes:
                self._flight.let_go()

    def committed(self) -> None:
        """Something of the attempt that answers leaves."""
        if self._prompt is not None:
            self._prompt.let_go_written()
        self._next = None
        if self._under_way:
            self._under_way = False
            self._settlement.continued(self._flight.model, "continued")

    def transforms(self) -> tuple[NewEventTransform, ...]:
        """What the events of the attempt that answers go through."""
        said = self._said
        if not self.count or not said.frame:
            return ()
        text = said.text if self._flight.operation is Operation.CHAT else ""  # no template strips a completion
        frame, tokens, count = said.frame, self._tokens, self.count
        return (lambda: Rejoin(frame, text, tokens, count),)

    # -- when it breaks ------------------------------------------------------------------------------------------------

    def takes_over(self, attempt: Attempt, failure: Failure) -> bool:
        """The answer of this attempt broke, and its engine is to blame: go on elsewhere. False where nobody does, so
        that the failure is to be told."""
        why_not = self._go_on(attempt, failure)
        if why_not:
            self._settlement.not_continued(self._flight.model, why_not)
        return not why_not

    def _go_on(self, attempt: Attempt, failure: Failure) -> str:
        prompt = self._prompt
        if self._why_not or prompt is None:
            return self._why_not
        if self.count >= self._most:
            return "again"
        flight, said = self._flight, self._said
        said.take(flight.reply.events)
        said.read()
        if said.odd:
            return said.odd
        if said.finished:
            return "finished"
        made = self._made(attempt)
        body = continued(self._operation, prompt.body, said.text, self._tokens + made)
        if body is None:
            return "length"
        now = clock.monotonic()
        serving = self._find(flight.model, flight.facts.assignment)
        due_s = flight.facts.deadline_s
        if due_s is not None and now >= due_s:
            return "deadline"
        endpoint = None if serving is None else self._elsewhere(serving, now)
        if serving is None or endpoint is None:
            return "no_replica"
        if not serving.route.budget.withdraw(now):
            return "budget"
        if flight.reply.events:
            attempt.works()
            flight.committed()
            flight.reply.flush()
        self._leave(attempt, made, now)
        self._failure = failure
        self._next = prompt.with_body(flight.operation, body)
        log.info(
            "stream_continued",
            model=flight.model,
            engine=attempt.upstream.endpoint.engine,
            replica=attempt.upstream.endpoint.replica,
            at=endpoint.replica,
            after_tokens=self._tokens,
            why=failure.kind,
        )
        flight.resend(serving, self._next, endpoint, now)
        return ""

    def _made(self, attempt: Attempt) -> int:
        """The tokens of this attempt: as it reported, or a piece of text is taken for one."""
        pieces, usage = self._said.pieces - self._pieces, attempt.usage
        if usage is not None and usage.output_tokens >= pieces:
            return usage.output_tokens
        self._source = "estimated"
        return pieces

    def _leave(self, attempt: Attempt, made: int, now: float) -> None:
        """The attempt is over: give back what it held, and note what it has produced."""
        flight = self._flight
        attempt.stop()
        attempt.close(now)
        if attempt.content_events:
            metered = attempt.metered(lost_prompt_tokens(flight, attempt) if attempt.usage is None else 0)
            attempt.usage = whole_usage(flight, attempt, metered)
        else:
            attempt.usage = lost_usage(flight, attempt)
        attempt.outcome = Outcome.CUT_SHORT
        self._began = self._began or attempt
        self._tokens += made
        self._pieces = self._said.pieces
        flight.facts.prompt_tokens += made
        flight.facts.output_tokens = max(1, flight.facts.output_tokens - made)
        self.count += 1
        self._under_way = True

    def failed(self, attempt: Attempt) -> bool:
        """An attempt ended before anything of it left; returns whether it was one of ours, which is seen to."""
        if not self._under_way:
            return False
        flight, prompt, failure = self._flight, self._next, self._failure
        assert prompt is not None
        assert failure is not None
        if attempt.outcome is not Outcome.ANSWERED:
            now = clock.monotonic()
            serving = self._find(flight.model, flight.facts.assignment)
            endpoint = None if serving is None else self._elsewhere(serving, now)
            if serving is not None and endpoint is not None and serving.route.budget.withdraw(now):
                flight.resend(serving, prompt, endpoint, now)
                return True
        self._under_way = False
        self._settlement.continued(flight.model, "failed")
        flight.fail(failure)
        return True

    def _elsewhere(self, serving: Serving, now: float) -> Endpoint | None:
        """Another replica that serves the same upstream model, and can go on in the middle of a message."""
        flight, route = self._flight, serving.route
        speakers = route.speakers.get(self._operation)
        if speakers is None:
            return None
        asked = [attempt.upstream.endpoint for attempt in flight.attempts]
        states = [endpoint.state for endpoint in asked]
        chat = flight.operation is Operation.CHAT and bool(self._said.text)
        unfit = [
            endpoint
            for pool in speakers.pools
            for endpoint in pool
            if endpoint.state in states
            or endpoint.model != asked[-1].model
            or (chat and not serving.upstreams[endpoint].engine.continues_chat)
        ]
        endpoint = choose(route, flight.facts, now, self._rng, unfit)
        return None if endpoint in unfit else endpoint

    # -- the account ---------------------------------------------------------------------------------------------------

    @property
    def began(self) -> Attempt | None:
        """The attempt that the answer began with, where it was continued."""
        return self._began

    @property
    def response_id(self) -> str:
        """What the client knows the answer by; empty where its engine said none."""
        try:
            return msgspec.json.decode(self._said.frame.get("id", b'""'), type=str)
        except msgspec.DecodeError:
            return ""

    def whole(self, usage: Usage | None) -> Usage:
        """The usage of the whole answer, from that of its last attempt. Where the first ones did not report how many
        tokens they made it is an estimate; input and output together are as reported."""
        made = self._tokens
        if usage is None:
            return Usage(max(0, self._flight.facts.prompt_tokens - made), made, source="estimated")
        estimated = "estimated" in (usage.source, self._source)
        prompt_tokens = max(0, usage.input_tokens - made)
        return Usage(
            prompt_tokens,
            usage.output_tokens + made,
            min(usage.cached_tokens, prompt_tokens),
            usage.cache_write_tokens,
            usage.reasoning_tokens,
            "estimated" if estimated else "reported",
        )

    def end(self) -> None:
        """The request is settled."""
        if self._under_way:  # all of it came in one read, or its client left meanwhile
            self._under_way = False
            self._settlement.continued(self._flight.model, "failed" if self._flight.error_kind else "continued")
        self._let_go()
