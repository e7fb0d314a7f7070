"""Judging a stream: which events may pass, and whether the answer is one.

The one rule that every format shares: a stream succeeds only if its engine said so. After an error no success marker
passes; a stream that ends without a finish reason ends in an error of ours; a marker that the engine forgot is added.
An error before anything but comments has left is none of the client's business yet: the attempt has failed as with that
HTTP status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from engines.errors import EngineError
from engines.http1.secrecy import without
from engines.sse import payload, says_something
from engines.wire import Dialect, Finding, Reader
from gateway import clock
from gateway.accounts.costs import cost_usd
from gateway.errors import Failure
from gateway.relay.account import UNNAMED, Account, kind_of
from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome, outcome_of_status

if TYPE_CHECKING:
    from gateway.attempt import Attempt
    from gateway.reply import Reply

log = structlog.get_logger()


class Judge:
    """Judges one stream, and ends it. Knows findings, not formats."""

    __slots__ = (
        "_account",
        "_asked_usage",
        "_attempt",
        "_dialect",
        "_ended",
        "_error",
        "_marked",
        "_reader",
        "_reply",
        "_told",
    )

    def __init__(
        self, account: Account, attempt: Attempt, reply: Reply, dialect: Dialect, reader: Reader, asked_usage: bool
    ) -> None:
        """`dialect` is the client's, `reader` reads the engine's. `asked_usage`: the usage event is the client's."""
        self._account = account
        self._attempt = attempt
        self._reply = reply
        self._dialect = dialect
        self._reader = reader
        self._asked_usage = asked_usage
        self._ended = False
        self._error = False
        self._told = False
        """Whether anything of the answer has left; comments are nothing of it."""
        self._marked = False
        """Whether the success marker came, be it believed or not."""

    @property
    def over(self) -> bool:
        """Whether the answer has ended; nothing of the stream is wanted any more."""
        return self._attempt.over

    def begins(self, events: list[bytes]) -> bool:
        """Whether the answer begins with these, which leave now: behind comments it may still be another's."""
        for event in events:  # nearly always the first one says something
            if says_something(event):
                break
        else:
            if self._account.commented():
                return False
        self._told = True
        self._attempt.works()
        self._account.committed()
        return True

    def weigh(self, event: bytes, finding: Finding) -> bytes:
        """Note what an event says; returns it as it may pass, or nothing. The stream may be `over` after it."""
        attempt = self._attempt
        if finding.usage is not None:
            usage = finding.usage
            attempt.usage = usage if attempt.usage is None else attempt.usage.merged(usage)
        if finding.said is not None:
            attempt.said = finding.said
        if finding.response_id:
            self._account.named(attempt, finding.response_id)
        if finding.usage_only:
            if not self._asked_usage:
                return b""
            event = self._priced(event)
        if finding.finish_reason:
            attempt.finish_reason = finding.finish_reason
            attempt.last_content_s = clock.monotonic()
        if finding.error:
            status = finding.error_status or UNNAMED
            body = payload(event)
            event = finding.restated or event
            for secret in attempt.upstream.engine.secrets:
                event = event.replace(secret, b"***")
            if self._take_back():
                attempt.refuse(status, body, event)
                return b""
            outcome = outcome_of_status(status)
            if outcome is not Outcome.ANSWERED:
                attempt.broke(outcome)
            if outcome.verdict is Verdict.FAILURE and self._elsewhere("engine_error", finding.error):
                return b""
            self._error = True
            self._account.error_kind = "engine_error"
        if self._error and payload(event).startswith(b"[DONE]"):
            return b""  # a success marker in any format, also in one that has none of the kind
        if finding.ends:
            self._marked = True
            if self._error or not attempt.finish_reason:
                return b""  # vLLM sends [DONE] after an error too: it must not claim success
            self._ended = True
        return event

    def cannot_tell(self, kind: str, message: str) -> bool:
        """The engine said what nobody here understands, and charges for it; returns whether nothing had left before it,
        so that the request has failed with this."""
        if not self._take_back():
            return False
        self._attempt.untellable(kind, message)
        return True

    def too_much(self, message: str) -> None:
        """What the engine says is over a limit: none of its kind is asked for again, here or by the client's SDK."""
        if not self.cannot_tell("bad_answer", message):
            self.broke("answer_truncated", message, blame=False)

    def done(self) -> None:
        """The body ended as its framing promised."""
        if self._error or self._is_whole():
            self._finish()
        elif self._take_back():
            self._attempt.said_nothing()
        else:
            # With its marker it is a habit of its provider, that would take all its models away; without, it was cut.
            self.broke("no_finish_reason", "the engine's stream ended without a finish reason", blame=not self._marked)

    def failed(self, error: EngineError) -> None:
        """The body did not end as promised. It is the last word: a mistake in it ends the request all the same."""
        try:
            if self._error or self._is_whole():
                self._finish()  # the engine had said how it ended; only the end of the body was lost
            else:
                self.broke(kind_of(error), str(error), blame=self._attempt.is_engines_fault(error))
        except Exception:
            log.exception("stream_mistaken")
            self._account.fail(self._failure("internal", "the stream could not be ended"))

    def broke(self, kind: str, message: str, *, blame: bool = True) -> None:
        """Tell the client inside its stream, and end it without a success marker."""
        if blame:
            self._attempt.broke()
            if self._elsewhere(kind, message):
                return
        else:
            self._attempt.works()
        self._attempt.stop()
        self._account.fail(self._failure(kind, message))

    def _failure(self, kind: str, message: str) -> Failure:
        return Failure(
            kind, f"model {self._account.model!r}: {without(self._attempt.upstream.engine.secrets, message)}"
        )

    def _elsewhere(self, kind: str, message: str) -> bool:
        """Whether another engine takes up what this one broke."""
        return not self._error and self._account.goes_on(self._attempt, self._failure(kind, message))

    def _take_back(self) -> bool:
        """Whether nothing but comments has left, nor waits to; what waits is then dropped."""
        events = self._reply.events
        if self._told or any(says_something(event) for event in events):
            return False
        events.clear()
        return True

    def _finish(self) -> None:
        reply = self._reply
        self._attempt.works()
        if not self._error and not self._ended and self._dialect.end_marker:
            reply.events.append(self._dialect.end_marker)
        self._account.settle(200)
        reply.end()

    def _is_whole(self) -> bool:
        """Whether the engine said how its answer ended: with its marker, or of each choice that was asked for."""
        return self._ended or self._reader.finished

    def _priced(self, event: bytes) -> bytes:
        """The usage event with the price of the answer in it: a stream's head left before its cost was known."""
        attempt = self._attempt
        account = self._account
        cost = cost_usd(account.attempts, attempt, account.used(attempt), clock.monotonic())
        attempt.told_usage, attempt.told_cost_usd = attempt.usage, cost
        return event if cost is None else self._dialect.with_cost(event, cost)
