"""One request on its way, and the ports through which a connection and the owner of connections meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from engines.errors import AnswerTruncated, EngineError
from engines.port import Exchange, Sink

if TYPE_CHECKING:
    from engines.http1.secrecy import Secrets
    from engines.model import Deadlines
    from engines.port import Headers


class Carrier(Protocol):
    """A connection, as its call and its owner see it."""

    __slots__ = ("closed", "counted", "idle_since", "reused")

    closed: bool
    counted: bool
    """Whether the owner counts it among its open connections."""
    reused: bool
    """Whether it has served before."""
    idle_since: float
    """Loop time at which it was last given back; 0.0 before."""

    def send(self, call: Call) -> None:
        """Write the request. The connection must be open and free."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None:
        """Close now; what is in flight is lost, which tells the engine to stop working on it."""

    def keep_idle(self, now: float, deadline: float) -> None:
        """Stay open without a request from now on until `deadline`, by loop time."""


class CarrierHome(Protocol):
    """The owner of connections, as a connection sees it."""

    __slots__ = ()

    def release(self, line: Carrier) -> None:
        """Take back a connection that is open and free."""

    def lost(self, line: Carrier) -> None:
        """Forget a connection that has closed. Called by its close and again by its loss."""

    def send_fresh(self, call: Call) -> None:
        """Send on a connection that was never used before."""

    def stale(self, idle_since: float) -> None:
        """Close the connections that have been idle since then or longer."""


class Nobody(Sink):
    """The sink of a call that is over: it keeps nothing alive and hears nothing."""

    __slots__ = ()

    def head(self, status: int, headers: Headers) -> None: ...

    def data(self, data: bytes) -> None: ...

    def flush(self) -> None: ...

    def done(self) -> None: ...

    def failed(self, error: EngineError) -> None: ...


NOBODY: Final = Nobody()


class Call(Exchange):
    """One request on its way, which may still wait for a connection.

    Once it is finished it holds neither its sink, which holds it, nor the request.
    """

    __slots__ = ("body", "deadlines", "finished", "head", "line", "replayed", "secrets", "started_at")

    def __init__(
        self,
        head: bytes,
        body: bytes,
        deadlines: Deadlines,
        sink: Sink,
        started_at: float,
        secrets: Secrets | None = None,
    ) -> None:
        """`secrets`: what the answer must not tell; None when there is nothing to hide."""
        self.head = head
        self.body = body
        self.deadlines = deadlines
        self.sink = sink
        self.started_at = started_at
        self.written = False
        self.unsent_share = 0.0
        self.secrets = secrets
        self.line: Carrier | None = None
        self.replayed = False
        self.finished = False

    def pause(self) -> None:
        if self.line is not None:
            self.line.pause()

    def resume(self) -> None:
        if self.line is not None:
            self.line.resume()

    def abort(self) -> None:
        if not self.finished:
            line = self.line
            self.finish()
            if line is not None:
                line.abort()

    def finish(self) -> Sink:
        """Let go of everything. Returns the sink, for its last word."""
        sink = self.sink
        self.finished = True
        self.line = None
        self.sink = NOBODY
        self.head = self.body = b""
        return sink

    def complete(self) -> Exception | None:
        """Tell the sink that its answer is whole. If it cannot live with one that ended so, it hears that the answer is
        bad, and what it raised is returned."""
        sink = self.finish()
        try:
            sink.done()
        except Exception as error:
            sink.failed(AnswerTruncated("the engine's answer could not be read"))
            return error
        return None

    def fail(self, error: EngineError) -> None:
        """Tell the sink, once."""
        if not self.finished:
            self.finish().failed(error)
