"""The client that measures: HTTP/1.1 over kept connections, nothing waits for its turn, every failure has its name.

A request is started and never awaited: what becomes of it is written into its record, and `done` is called once.
Nothing is sent twice, no redirect is followed, no refusal waited for, and the number of connections has no limit: a
pool that queues would hide its queue in the target's latency.

Kinds of failure (`Record.error`); the first that happened counts:

connect         no connection: refused, unresolved, no TLS, or not within connect_timeout_s
client_limit    no descriptor, port or memory was left on this machine to connect with; the run is INVALID
reset           the connection ended before the head of an answer
bad_response    not HTTP; or 2xx with a plain body that is no JSON answer
http_NNN        an answer with another status than 2xx
not_sse         a stream was asked for, and the 2xx answer is none
truncated       the connection ended inside the body
bad_event       an event without JSON, or of another shape, or without end
in_stream       an event that is an error
no_finish       a stream that ended in peace, and without a finish reason
timeout         not over within timeout_s of the send
dropped         never sent: too many in flight (the dispatcher's guard)
unfinished      still under way when the run ended
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from time import monotonic_ns
from urllib.parse import urlsplit

import msgspec

from loadtests.client.connection import Connection, Done, Exchange
from loadtests.client.excerpt import Excerpts, is_ours
from loadtests.client.record import Record
from loadtests.workloads.request import Request


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests go. `base` is put before their path; one that ends in `/v1` takes the place of the path's own."""

    host: str
    port: int
    tls: bool
    netloc: str
    base: str = ""

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read `http(s)://HOST[:PORT][/BASE]`. Raises ValueError with one sentence."""
        wrong = "a target is http://HOST[:PORT][/BASE] or https://..., without user and query"
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            raise ValueError(wrong) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValueError(wrong)
        tls = parts.scheme == "https"
        return cls(
            host=parts.hostname,
            port=port or (443 if tls else 80),
            tls=tls,
            netloc=parts.netloc,
            base=parts.path.rstrip("/"),
        )

    def path(self, path: str) -> str:
        """The path on the wire: `/v1/x` is `/api/v1/x` under `/api` and under `/api/v1`, as hosted bases are pasted."""
        return self.base + (path.removeprefix("/v1") if self.base.endswith("/v1") else path)


class Client:
    """All connections to one target, within one event loop."""

    def __init__(
        self,
        target: Target,
        *,
        timeout_s: float = 120.0,
        connect_timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Made inside the running loop. Raises ValueError for a header that would break the request."""
        self.target = target
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._loop = asyncio.get_running_loop()
        self._tls = ssl.create_default_context() if target.tls else None
        self._idle: dict[Connection, None] = {}  # the last released is the first taken
        self._connections: set[Connection] = set()
        self._under_way: set[Exchange] = set()
        self._dialing: set[asyncio.Task[None]] = set()
        self._none_left = asyncio.Event()
        self._closed = False
        self._heads: dict[str, bytes] = {}
        self._excerpts = Excerpts((headers or {}).values())
        self._lines = ""
        for name, value in {"host": target.netloc, "content-type": "application/json", **(headers or {})}.items():
            if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or not value.isprintable():
                raise ValueError(f"the header `{name[:40]}` cannot be sent")
            self._lines += f"{name}: {value}\r\n"

    @property
    def in_flight(self) -> int:
        return len(self._under_way)

    @property
    def connections(self) -> int:
        """Open ones, idle or not."""
        return len(self._connections)

    def start(self, request: Request, record: Record, done: Done, keep_text: bool = False) -> Exchange:
        """Send now. `done` is called later, once, whatever happens, and may start the next request."""
        exchange = Exchange(record, done, stream=request.stream, keep_text=keep_text)
        wire = self.wire(request)
        self._under_way.add(exchange)
        exchange.timer = self._loop.call_later(self._timeout_s, self.give_up, exchange, "timeout")
        while self._idle:
            connection, _ = self._idle.popitem()
            if not connection.transport.is_closing():
                record.ts = monotonic_ns()
                connection.begin(exchange, wire)
                return exchange
        record.ts = monotonic_ns()
        task = self._loop.create_task(self._dial(exchange, wire))
        self._dialing.add(task)
        task.add_done_callback(self._dialing.discard)
        return exchange

    async def send(self, request: Request, record: Record, keep_text: bool = False) -> str:
        """`start`, and wait for the end; the text of the answer if asked for. Cancelled, it gives the request up."""
        ended: asyncio.Future[str] = self._loop.create_future()
        exchange = self.start(
            request, record, lambda _, text: None if ended.done() else ended.set_result(text), keep_text
        )
        try:
            return await ended
        finally:
            self.give_up(exchange, "unfinished")

    def wire(self, request: Request) -> bytes:
        """The bytes of a request; 0.6 us beside the copy."""
        head = self._heads.get(request.path)
        if head is None:
            head = f"POST {self.target.path(request.path)} HTTP/1.1\r\n{self._lines}".encode("latin-1")
            self._heads[request.path] = head
        session = b"x-session-id: %b\r\n" % request.session.encode("latin-1") if request.session else b""
        return b"%bcontent-length: %d\r\n%b\r\n%b" % (head, len(request.body), session, request.body)

    def give_up(self, exchange: Exchange, error: str) -> None:
        """End one that is still under way: its connection is closed, its record says why."""
        if exchange.connection is not None:
            exchange.connection.give_up(error)
        else:
            self.finish(exchange, error, "")

    def give_up_all(self, error: str = "unfinished") -> None:
        """End all that are under way; those that their `done` starts are not among them."""
        for exchange in list(self._under_way):
            self.give_up(exchange, error)

    async def close(self) -> None:
        """Give everything up and close every connection, also one that is made in this moment."""
        self._closed = True
        self.give_up_all()
        for task in list(self._dialing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for connection in list(self._connections):
            connection.transport.abort()
        if self._connections:
            self._none_left.clear()
            await self._none_left.wait()

    async def _dial(self, exchange: Exchange, wire: bytes) -> None:
        tls = self._tls
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self),
                    self.target.host,
                    self.target.port,
                    ssl=tls,
                    server_hostname=self.target.host if tls else None,
                )
        except TimeoutError:
            self.finish(exchange, "connect", "")
            return
        except OSError as error:
            exchange.said = str(error).encode()
            self.finish(exchange, "client_limit" if is_ours(error) else "connect", "")
            return
        if exchange.over:
            self.released(connection)
        else:
            connection.begin(exchange, wire)

    # -- what connections say ----------------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self._closed:
            connection.transport.abort()

    def released(self, connection: Connection) -> None:
        self._idle[connection] = None

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._idle.pop(connection, None)
        if not self._connections:
            self._none_left.set()

    def finish(self, exchange: Exchange, error: str, text: str) -> None:
        """The end of an exchange; only the first one counts."""
        if exchange.over:
            return
        exchange.over = True
        self._under_way.discard(exchange)
        if exchange.timer is not None:
            exchange.timer.cancel()
        exchange.record.error = error
        if error and exchange.said:
            exchange.record.said = self._excerpts.of(exchange.said)
        exchange.done(exchange.record, text)
