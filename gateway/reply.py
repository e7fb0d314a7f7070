"""The answer to one client: the one place that knows what has left, and so how to fail.

    held ──respond──────────────────────────────────────> ended     one document, head and body in one write
      │ ──begin + (add, flush)*──> streaming ──end──────> ended     events; the head leaves with the first of them
      └──pass_on──> passing ──pass_on*, end─────────────> ended     a document too large to hold
    failing:  held -> an HTTP error · streaming -> an error event, and no success marker · passing -> a cut

Nothing here knows an engine, so an answer may begin (with a comment, while a request waits) before any is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engines.wire import ApiError

if TYPE_CHECKING:
    from engines.wire import Dialect, Reader
    from gateway.errors import Failure
    from gateway.http.request import Client

JSON: Final = b"content-type: application/json\r\n"
EVENTS: Final = b"content-type: text/event-stream\r\n"
UNCACHED: Final = b"cache-control: no-cache\r\nx-accel-buffering: no\r\n"
"""A stream must reach its reader piece by piece; nginx and others would collect it."""


class Reply:
    """See the table above. Order of the writes is the order of the calls."""

    __slots__ = (
        "_client",
        "_dialect",
        "_document",
        "_head",
        "_head_status",
        "_over",
        "_reader",
        "_request_id",
        "_status",
        "events",
    )

    def __init__(self, client: Client, dialect: Dialect, request_id: bytes) -> None:
        self._client = client
        self._dialect = dialect
        self._reader: Reader | None = None
        self._request_id = request_id
        self.events: list[bytes] = []
        """Whole events that leave together at the next `flush`, `end` or `fail`."""
        self._status = 0
        self._head = b""
        self._head_status = 200
        self._document = False
        """Whether what leaves is a document, in which nothing else can be said."""
        self._over = False

    @property
    def status(self) -> int:
        """What the client has been told; 0 while the head is held."""
        return self._status

    @property
    def untold(self) -> bool:
        """Whether nothing has left and nothing waits to: a failure can still be an honest HTTP error."""
        return not self._status and not self.events

    # -- one document --------------------------------------------------------------------------------------------------

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """The whole answer. Only while nothing has left."""
        assert not self._status
        self._status = status
        self._document = True
        self._client.respond(status, headers, body)
        self._over = True

    def pass_on(self, status: int, headers: bytes, data: bytes) -> None:
        """A part of a document that is too large to hold; status and headers count the first time."""
        if self._document:
            self._client.write(data)
        else:
            self._document = True
            self._status = status
            self._client.begin_stream(status, headers, data)

    # -- events --------------------------------------------------------------------------------------------------------

    def begin(self, status: int, headers: bytes, reader: Reader) -> None:
        """The answer is a stream with this head, unless a comment has begun it already.

        `reader` has read whatever passes, so it knows what an error event must follow.
        """
        self._reader = reader
        self._head_status = status
        self._head = headers

    def flush(self) -> None:
        """What waits in `events` leaves in one write, with the head if that is still held."""
        events = self.events
        if not events:
            return
        data = events[0] if len(events) == 1 else b"".join(events)
        events.clear()
        if self._status:
            self._client.write(data)
        else:
            self._leave(data)

    def comment(self, text: bytes, headers: bytes) -> None:
        """Say something that no reader of events sees (`text` is one line), so that nobody on the way gives up.

        It commits the answer to be a 200: `headers` are those of its head, if that is still held.
        """
        if not self._status:
            self._head = EVENTS + UNCACHED + headers
        self.events.append(b": %b\n\n" % text)
        self.flush()

    def end(self) -> None:
        """The answer is whole, with what waits in `events`."""
        events = self.events
        last = events[0] if len(events) == 1 else b"".join(events)
        events.clear()
        if not self._status:
            self._leave(last)
            last = b""
        self._client.end_stream(last)
        self._over = True

    def _leave(self, first: bytes) -> None:
        self._status = self._head_status
        self._client.begin_stream(self._status, self._head, first)

    # -- failing -------------------------------------------------------------------------------------------------------

    def status_of(self, failure: Failure) -> int:
        """What the client will have been told when it is told this failure now."""
        return failure.status if self.untold else self._status or self._head_status

    def fail(self, failure: Failure, headers: bytes) -> None:
        """Tell the failure in the way that is still open. `headers` are for the case that the head is still held."""
        if self._over:
            return
        if self.untold:
            body = failure.body(self._dialect, self._request_id.decode())
            self.respond(failure.status, JSON + failure.headers() + headers, body)
        elif self._document:
            # A document cannot carry an error at its end: the missing last chunk is the sign.
            self.cut()
        else:
            self._fail_inside(failure.api_error)

    def cut(self) -> None:
        """Whatever has left, nothing else will; a client that waits for more sees that it was not whole."""
        if not self._over:
            self._over = True
            self._client.cut()

    def pass_error(self, body: bytes, event: bytes) -> None:
        """Tell an engine's error after a comment has left: by `event`, or else what `body` says, as an error answer."""
        if event:
            self.events.append(event)
            self.end()
        else:
            said = self._dialect.read_error(self._status, body)
            self._fail_inside(ApiError(said.message, said.type, said.code or None))

    def _fail_inside(self, error: ApiError) -> None:
        reader = self._reader or self._dialect.reader()
        self.events.append(reader.error_event(error))
        self.end()
