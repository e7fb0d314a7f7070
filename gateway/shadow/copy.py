"""One copy of a request: one attempt, never another, and an answer that is read to its end and given to nobody."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from engines.model import Deadlines, Operation
from engines.operations import OPERATION_KEYS
from engines.wire import DIALECTS
from gateway import clock
from gateway.accounts.lost import let_go_tokens, whole_usage
from gateway.attempt import Attempt, Owner
from gateway.body.envelope import parse
from gateway.body.prompt import Prompt
from gateway.errors import TABLE, Failure
from gateway.http.request import Client, Request
from gateway.identity import ANONYMOUS
from gateway.relay.opening import Opening, open_relay
from gateway.reply import Reply
from gateway.transforms import transformed
from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome

if TYPE_CHECKING:
    from engines.model import Usage
    from engines.port import Outgoing, Sink
    from gateway.body.envelope import Envelope
    from gateway.body.held import Share
    from gateway.fleet.snapshot import Serving, Upstream
    from gateway.identity import Principal
    from gateway.relay.transcript import Transcript
    from routing.facts import RequestFacts

IDLE_PRIORITY: Final = -1
"""Of work that wants a rather idle replica (`routing.choosing.policy.is_full`)."""
GIVEN_UP: Final = 499
FAILED: Final = 502
TRACED: Final = frozenset({b"traceparent", b"tracestate"})
"""A copy is no part of its client's trace."""


class Nobody(Client):
    """Who is given the answer of a copy."""

    __slots__ = ()

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        pass

    def begin_stream(self, status: int, headers: bytes, first: bytes) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def end_stream(self, last: bytes = b"") -> None:
        pass

    def cut(self) -> None:
        pass


NOBODY: Final = Nobody()


class Copy(Owner, Opening):
    """See the module. Its owner sends it once, and hears once that it is over."""

    attempt: Attempt | None = None
    error_kind = ""
    reason = ""
    """Why it failed, in words."""
    cost_usd: float | None = None
    transcript: Transcript | None = None
    answer_status = 0
    lost_tokens = 0
    """See `gateway.accounts.lost.Asked`."""
    finished_s = 0.0
    settled = False
    given_up = False
    reserved_usd = 0.0
    """What was put aside for it."""

    def __init__(
        self,
        model: str,
        original_id: bytes,
        record_id: bytes,
        operation: Operation,
        body: bytes,
        parsed: Envelope,
        fields: dict[bytes, bytes],
        serving: Serving,
        principal: Principal,
        over: Callable[[Copy], None],
        rng: random.Random,
        share: Share,
    ) -> None:
        """`original_id` is that of the request's record; `principal` is its client's, for the hooks of contents alone.
        `over` is called once, after everything was given back but what `reserved_usd` and its owner know of. `share` is
        what is counted of it: its body."""
        self.model = model
        self.original_id, self.record_id = original_id, record_id
        self.operation = operation
        self.dialect = DIALECTS[operation]
        self.streams = parsed.stream
        self.principal = principal
        self.serving = serving
        self.attempts: list[Attempt] = []
        self._over = over
        self._share = share
        self._outgoing: Outgoing | None = None
        """What is sent, from when it is written to when it leaves."""
        self._rng = rng
        self.prompt_bytes = len(body)
        kept = {name: value for name, value in fields.items() if name not in TRACED}
        path = operation.value.encode()
        self.request = Request(NOBODY, b"POST", "1.1", path, b"", [], kept, body, False)
        self.tokens = serving.route.tokens
        self.prompt: Prompt | None = None
        """Until its answer begins."""
        self.facts = self._asking(body, parsed)
        self.reply = Reply(NOBODY, self.dialect, record_id)

    def _asking(self, body: bytes, parsed: Envelope) -> RequestFacts:
        """This is what its engine is to be asked; returns it as routing sees it."""
        self.prompt = prompt = Prompt(self.operation, body, parsed, self.request.fields, self.record_id)
        facts = prompt.facts(OPERATION_KEYS[self.operation], self.tokens, ANONYMOUS)
        facts.priority = IDLE_PRIORITY
        return facts

    def transform(self) -> Failure | None:
        """Let the shadow's own parameters change what is asked, before an endpoint is chosen; returns why it cannot be
        asked. What is expected of the copy is from here on what they make of it."""
        transforms = self.serving.request_transforms
        if not transforms:
            return None
        assert self.prompt is not None
        refusal = transformed(self.prompt, self.facts, transforms)
        if refusal is None:
            try:
                self.facts = self._asking(self.prompt.body, parse(self.prompt.body))
            except Failure as failure:
                return failure
        return refusal

    def write(self, upstream: Upstream) -> str:
        """Write what this one is sent, and have all that is kept counted; returns why not, or an empty string."""
        prompt = self.prompt
        assert prompt is not None
        try:
            self._outgoing = outgoing = prompt.outgoing(upstream)
        except Failure:
            return "refused"
        size = prompt.kept_with(outgoing.body)
        if prompt.body is not self.request.body:  # the shadow's own parameters have changed it
            size += len(self.request.body)
        return "" if self._share.grow(size) else "memory"

    def send(self, upstream: Upstream, bounds: Deadlines, now: float) -> None:
        """Call the engine, which may fail before this returns. It was written for this one."""
        outgoing, self._outgoing = self._outgoing, None
        assert outgoing is not None
        attempt = Attempt(self, upstream, self.facts, self.streams, now, self._rng)
        attempt.unheard()
        self.attempt = attempt
        self.attempts.append(attempt)
        attempt.send(outgoing, bounds, clock.monotonic(), 0.0)

    def give_up(self, kind: str) -> None:
        """Stop the engine's work: nobody waits for it."""
        if not self.settled:
            if self.attempt is not None:
                self.attempt.abandon()
            self.error_kind, self.given_up = kind, True
            self.settle(GIVEN_UP)

    # -- gateway.attempt.Owner -----------------------------------------------------------------------------------------

    def answering(self, attempt: Attempt) -> Sink:
        assert self.prompt is not None
        return open_relay(self, attempt, self.reply, self.prompt, (), None)

    def blame(self, attempt: Attempt, outcome: Outcome, now: float) -> Verdict:
        """However it ended, clients' requests are not kept from a replica for it."""
        return Verdict.IGNORED

    def failed_early(self, attempt: Attempt) -> None:
        if not self.settled:
            self.error_kind, self.reason = attempt.error_kind, attempt.message
            row = TABLE.get(attempt.error_kind)
            self.settle(attempt.status or (FAILED if row is None else row.status))

    # -- gateway.relay.opening.Opening ---------------------------------------------------------------------------------

    def head_down(self) -> bytes:
        return b""

    def commented(self) -> bool:
        return False

    def committed(self) -> None:
        self.lost_tokens = let_go_tokens(self, self.attempt)
        self.prompt = None
        self.facts.let_go()
        self.request.body = b""
        self._share.release()

    def used(self, attempt: Attempt) -> Usage | None:
        return whole_usage(self, attempt, attempt.usage)

    def goes_on(self, attempt: Attempt, failure: Failure) -> bool:
        return False

    def settle(self, status: int) -> None:
        if self.settled:
            return
        self.settled = True
        self.answer_status = status
        self.finished_s = now = clock.monotonic()
        attempt = self.attempt
        if attempt is not None:
            attempt.close(now)
        self._share.release()
        self._over(self)
        if attempt is not None:
            attempt.forget()

    def fail(self, failure: Failure) -> None:
        self.error_kind, self.reason = failure.kind, failure.message
        self.settle(self.reply.status_of(failure))
