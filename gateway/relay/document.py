"""An answer that is one document. It is held until it is whole (then its cost is known when its head leaves), up to
`HOLD_BYTES`; a larger one passes through, unless it begins as an error does: that one is held on, because an error in a
200 is a failed attempt, however much it says. So is a problem (RFC 9457) by its media type alone, and a 200 without a
body that is no text. Whatever else an engine sends passes, HTML too: what it means is its client's to tell.

Behind comments that have left, which began a stream, an error is all that a document can say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engines.port import Sink
from engines.sse import payload, says_something, split
from engines.wire import Dialect, Finding
from engines.wire.dialect import NOTHING
from engines.wire.refusals import ERROR_WITHIN_BYTES, begins_an_error, error_finding
from engines.wire.texts import spoken_bytes
from gateway.relay.account import UNNAMED, Account, broken, whole
from gateway.relay.headers import EVENT_STREAM, PROBLEM, media_type, passed_headers

if TYPE_CHECKING:
    from engines.errors import EngineError
    from engines.port import Headers
    from gateway.attempt import Attempt
    from gateway.reply import Reply

HOLD_BYTES: Final = 256 * 1024
ERROR_BYTES: Final = 1024 * 1024
"""More than this no error says, and nobody reads on to find out which."""
EVENT_WITHIN_BYTES: Final = 4 * 1024
"""In these an event says whether it is an error, though it may be longer."""
TAIL_BYTES: Final = 16 * 1024
"""Of an answer too large to hold, this much of its end is kept to find the usage in."""


class DocumentRelay(Sink):
    """Takes one document."""

    __slots__ = (
        "_account",
        "_attempt",
        "_dialect",
        "_held",
        "_more",
        "_parts",
        "_passed_bytes",
        "_passing",
        "_reply",
        "_tail",
    )

    def __init__(self, account: Account, attempt: Attempt, reply: Reply, dialect: Dialect) -> None:
        """`dialect` is the engine's."""
        self._account = account
        self._attempt = attempt
        self._reply = reply
        self._dialect = dialect
        self._held = b""
        self._more: bytearray | None = None
        """What has come after the first piece, in one: a list would hold fifty bytes more for each, perhaps of one."""
        self._parts: list[bytes] = []
        """Of an answer that passes, what the read in progress has brought: it leaves together."""
        self._passing = False
        self._passed_bytes = 0
        self._tail = b""

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        if self._passing:
            self._parts.append(data)
            return
        if self._more is not None:
            self._more += data
        elif self._held:
            self._more = bytearray(self._held)
            self._more += data
            self._held = b""
        else:
            self._held = data
        held = self._held if self._more is None else self._more
        size = len(held)
        if size > HOLD_BYTES:
            # Asked once, by the piece that goes over: of an error in pieces of a byte each would cost 50 us.
            if size - len(data) <= HOLD_BYTES and not self._begins_an_error(bytes(held[:ERROR_WITHIN_BYTES])):
                self._pass()
            elif size > ERROR_BYTES:
                self._attempt.refuse(UNNAMED, self._whole())

    def _begins_an_error(self, beginning: bytes) -> bool:
        return begins_an_error(beginning) or media_type(self._attempt.headers) == PROBLEM

    def _pass(self) -> None:
        """It is too large to hold."""
        whole = self._whole()
        if self._reply.status:
            self._attempt.unfit()
            return
        self._passing = True
        self._passed_bytes = len(whole)
        self._tail = whole[-TAIL_BYTES:]
        attempt = self._attempt
        attempt.works()
        self._account.committed()
        self._reply.pass_on(attempt.status, passed_headers(attempt.headers) + self._account.head_down(), whole)

    def flush(self) -> None:
        parts = self._parts
        if parts:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            self._passed_bytes += len(data)
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            self._reply.pass_on(0, b"", data)

    def done(self) -> None:
        account, attempt = self._account, self._attempt
        if self._passing:
            self.flush()
            self._take(self._dialect.read_answer(usage_in(self._tail)), None)
            account.settle(attempt.status)
            self._reply.end()
            return
        body = self._whole()
        finding = self._dialect.read_answer(body)
        if finding.usage is None and not finding.error:  # most have it, and are not asked what they are
            kind = media_type(attempt.headers)
            if kind == PROBLEM:
                finding = error_finding(body)
            elif kind == EVENT_STREAM:
                finding, body = self._first_event(body)
            elif not body and attempt.status == 200 and not kind.startswith(b"text/"):
                attempt.said_nothing()
                return
        if finding.error:
            attempt.usage = finding.usage
            attempt.refuse(finding.error_status or UNNAMED, body)
            return
        if self._reply.status:
            attempt.usage = finding.usage  # which is charged for
            attempt.unfit()
            return
        self._take(finding, body)
        headers = passed_headers(attempt.headers) + account.head_down()
        whole(account, attempt, self._reply, headers, body)

    def _first_event(self, body: bytes) -> tuple[Finding, bytes]:
        """Of a stream that nobody asked for: an error in the place of its content is one here too. Returns what it says
        with what it is in, or nothing with the body as it came."""
        for event in split(body[:EVENT_WITHIN_BYTES]):
            if says_something(event):
                finding = self._dialect.reader().read(event)
                return (finding, payload(event)) if finding.error else (NOTHING, body)
        return NOTHING, body

    def failed(self, error: EngineError) -> None:
        broken(self._account, self._attempt, error)

    def _whole(self) -> bytes:
        """All that is held, which is let go."""
        whole = self._held if self._more is None else bytes(self._more)
        self._held, self._more = b"", None
        return whole

    def _take(self, finding: Finding, body: bytes | None) -> None:
        """`body` is None of an answer that has passed."""
        usage = self._attempt.usage = finding.usage
        if usage is not None and usage.unsaid:
            self._attempt.answer_bytes = self._passed_bytes if body is None else spoken_bytes(body)
        self._attempt.finish_reason = finding.finish_reason
        self._attempt.said = finding.said
        if finding.response_id:
            self._account.named(self._attempt, finding.response_id)


def usage_in(tail: bytes) -> bytes:
    """The last `usage` member of a document whose end is `tail`, as a document of its own (it may not parse)."""
    at = tail.rfind(b'"usage"')
    return b"{" + tail[at:] if at >= 0 else b"{}"
