"""The requests in what a client sends: llhttp splits the bytes, `head` and `body` judge them, whole requests come out.

The head is judged, and told to the connection, when it is complete; the body is read only after that. After a refusal
nothing more is read from these bytes, since nothing after it can be trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import httptools

from engines.http1.known_head import MAX_LENGTH_DIGITS, head_bytes
from gateway.errors import Failure
from gateway.http.body import Body
from gateway.http.familiar import Familiar, familiar
from gateway.http.head import (
    A_HANDSHAKE,
    HOST_ONCE,
    Fields,
    Headers,
    check_host,
    read_fields,
    read_length,
    read_target,
    read_version,
)
from gateway.http.request import Request

if TYPE_CHECKING:
    from gateway.http.handler import RequestLimits
    from gateway.http.request import Client
    from gateway.identity import Keyring

BETWEEN: Final = 0
"""Nothing of the next request is in."""
HEAD: Final = 1
BODY: Final = 2
"""The head is in, and was found good."""
UNKNOWN: Final = -1
"""How much is owed when that cannot be told: the parser may hold the beginning of another request."""
MAX_UNMET: Final = 4
"""A client whose heads differ (a trace, an id of its own) costs so many that are kept in vain, and then no more."""


class Receiver(Protocol):
    """Who gets the requests."""

    __slots__ = ()

    def head_in(self, request: Request, length: int) -> None:
        """A request's head is in, and says how long its body is. Raises Failure when that need not come."""

    def still_admits(self, keyring: Keyring) -> bool:
        """Whether a head that this keyring let in may come in again, unread."""

    def arrived(self, request: Request) -> None:
        """A request is whole."""


class RequestReader:
    """Reads one connection. It and its parser hold each other until `close`."""

    __slots__ = (
        "_body",
        "_body_limit_bytes",
        "_by_length",
        "_client",
        "_failure",
        "_familiar",
        "_head_bytes",
        "_headers",
        "_known_host",
        "_limit_bytes",
        "_offered",
        "_opening",
        "_owed",
        "_parser",
        "_read_bytes",
        "_receiver",
        "_replaying",
        "_request",
        "_target",
        "_unmet",
        "stage",
    )

    def __init__(self, receiver: Receiver, client: Client, limits: RequestLimits) -> None:
        self._receiver: Receiver | None = receiver
        self._client: Client | None = client
        self._limit_bytes = limits.header_bytes
        self._body_limit_bytes = limits.body_bytes
        self._body = Body(limits.body_bytes)
        self._parser: httptools.HttpRequestParser | None = self._new_parser()
        self._failure: Failure | None = None
        self._target = b""
        self._headers: Headers = []
        self._head_bytes = 0
        """Of the head that is coming, counted in whole reads."""
        self._read_bytes = 0
        """Of the read that the head began in, or that may bring one behind a body."""
        self._request: Request | None = None
        self._known_host = b""
        """The last one found good: a client says the same one each time."""
        self._offered = False
        """Whether the request offers to switch protocols, which llhttp would do."""
        self._replaying = False
        self._owed = 0
        """How much of the request in progress has not come, or `UNKNOWN`; nothing, between two that came apart."""
        self._by_length = False
        """Whether its body is counted here, behind a familiar head, and not by the parser."""
        self._familiar: Familiar | None = None
        self._unmet = 0
        """Heads kept since one was met again."""
        self._opening = b""
        """The read in progress, if it begins with a request, until the head of that is in."""
        self.stage = BETWEEN

    @property
    def body_bytes(self) -> int:
        """How much of a body is in."""
        return self._body.size

    @property
    def target(self) -> bytes:
        """The target of the request that is being read, as far as it is in."""
        return self._target if self._request is None else self._request.path

    @property
    def fields(self) -> Fields:
        """The headers of the request that is being read, once they are in."""
        return {} if self._request is None else self._request.fields

    @property
    def request(self) -> Request | None:
        """The request whose head is in and whose body is not."""
        return self._request

    def close(self) -> None:
        """Let go of everything that is held."""
        self._parser = None
        self._receiver = None
        self._client = None
        self._request = None
        self._familiar = None
        self._opening = b""
        self._failure = None
        self._body.drop()

    def feed(self, data: bytes) -> Failure | None:
        """Read on. Returns why nothing more can be read."""
        parser = self._parser
        if parser is None:
            return None
        if self._by_length:
            return self._more(data)
        if self.stage == BETWEEN and self._owed == 0:
            known, receiver = self._familiar, self._receiver
            if known is not None and receiver is not None and known.met(data) and receiver.still_admits(known.keyring):
                self._begin(known, data, receiver)
                return None
            self._opening = data
        else:
            self._owed -= len(data)
        if self.stage != BODY:
            self.stage = HEAD
            if not self._head_bytes:
                self._read_bytes = len(data)
            self._head_bytes += len(data)
        else:
            self._read_bytes = len(data)
        if self.stage == BODY and self._body.chunked:
            failure = self._body.framing(len(data), len(self._headers))
            if failure is not None:
                return failure
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            rest = data[offer.args[0] :]
        except httptools.HttpParserCallbackError:
            if self._failure is None:
                raise
            return self._failure
        except httptools.HttpParserError as error:
            if data.startswith(b"\x16") and self._head_bytes == len(data):
                return Failure("invalid_http", A_HANDSHAKE)
            return Failure("invalid_http", f"the request is not valid HTTP/1.1: {error}")
        else:
            if self.stage == HEAD:
                if self._head_bytes > self._limit_bytes:
                    return self._too_long()
            elif self.stage == BETWEEN and self._target:
                # A head that began in the read that ended the request before it: `_read_bytes` bounds what is in.
                self.stage = HEAD
                self._head_bytes = len(self._target)
            if self._opening:  # a head in several reads
                self._opening = b""
                self._owed = UNKNOWN
            return None
        self._owed = UNKNOWN
        return self._go_on_without_upgrade(rest)

    # -- heads that come again -----------------------------------------------------------------------------------------

    def _learn(self, data: bytes, request: Request, length: int) -> int:
        """Keep the head that this read begins with, if it can be. Returns what is owed of its request."""
        size = head_bytes(data, len(request.headers))
        owed = size + length - len(data)
        if not size or length < 0 or owed < 0 or self._offered:
            return UNKNOWN
        if self._unmet < MAX_UNMET and size + MAX_LENGTH_DIGITS <= self._limit_bytes:
            found = familiar(data[:size], request, self._body_limit_bytes)
            if found is not None:
                self._familiar = found
                self._unmet += 1
        return owed

    def _begin(self, known: Familiar, data: bytes, receiver: Receiver) -> None:
        """The head of a request has come again, and perhaps its body or a part of it."""
        self._unmet = 0
        client = self._client
        assert client is not None
        request = known.request(client)
        at, length = known.body_at, known.length
        if len(data) - at == length:
            request.body = data[at:]
            receiver.arrived(request)
            return
        self._request = request
        self.stage = BODY
        self._by_length = True
        self._owed = length
        self._body.begin(length)
        if len(data) > at:
            self._more(data[at:])

    def _more(self, data: bytes) -> Failure | None:
        """The next piece of a body behind such a head, and perhaps what follows it."""
        owed, size = self._owed, len(data)
        self._body.add(data if size <= owed else data[:owed])  # its length was within the limit
        if size < owed:
            self._owed = owed - size
            return None
        request, receiver = self._request, self._receiver
        assert request is not None
        assert receiver is not None
        request.body = self._body.take()
        self._request = None
        self._by_length = False
        self._owed = 0
        self.stage = BETWEEN
        receiver.arrived(request)
        return self.feed(data[owed:]) if size > owed else None

    # -- the parser ----------------------------------------------------------------------------------------------------

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_version=True)  # 1.2 is read as 1.1; `read_version` refuses the others
        return parser

    def _go_on_without_upgrade(self, rest: bytes) -> Failure | None:
        """Read the body as if no switch of protocols had been offered (a server may ignore that: RFC 9110 section 7.8).

        llhttp takes what follows such a head for the other protocol. So a new parser gets a head that frames the same
        body and offers nothing, and goes on from there.
        """
        request = self._request
        assert request is not None
        self._offered = False
        self._replaying = True
        self._parser = parser = self._new_parser()
        head = b"%b / HTTP/%b\r\n" % (request.method, request.version.encode())
        for name in (b"content-length", b"transfer-encoding"):
            if name in request.fields:
                head += b"%b: %b\r\n" % (name, request.fields[name])
        parser.feed_data(head + (b"connection: %b\r\n\r\n" % (b"keep-alive" if request.keep_alive else b"close")))
        return self.feed(rest) if rest else None

    # -- httptools callbacks -------------------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp leaves blanks behind a value; they are no part of it (RFC 9110 section 5.5).
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        target, headers = self._target, self._headers
        self._headers = []
        if self._replaying:
            self._replaying = False
            self._target = b""
            return
        try:
            self._read_head(target, headers)
        except Failure as failure:
            # Without the frames that it went through: they hold this connection.
            failure.__context__ = None
            self._failure = failure.with_traceback(None)
        if self._failure is not None:
            raise RuntimeError("refused")  # the only way to make the parser stop

    def on_body(self, piece: bytes) -> None:
        self._failure = self._body.add(piece)
        if self._failure is not None:
            raise RuntimeError("refused")

    def on_message_complete(self) -> None:
        request, receiver = self._request, self._receiver
        if self._offered or request is None or receiver is None:
            return
        request.body = self._body.take()
        self._request = None
        self.stage = BETWEEN
        self._head_bytes = 0
        if self._headers:
            self._headers = []  # trailers are not headers (RFC 9110 section 6.5.1)
        receiver.arrived(request)

    def _read_head(self, target: bytes, headers: Headers) -> None:
        """Judge the head. Raises Failure."""
        parser, receiver, client = self._parser, self._receiver, self._client
        if parser is None or receiver is None or client is None:
            return
        if self._head_bytes + self._read_bytes > self._limit_bytes:
            # Counted as they came, so bytes of the body or of the request before may be among them: now count exactly.
            head_bytes = sum([len(name) + len(value) + 4 for name, value in headers], len(target))
            if head_bytes > self._limit_bytes:
                raise self._too_long()
        fields = read_fields(headers)
        version = parser.get_http_version()
        if version != "1.1":  # nearly every request says it
            version = read_version(version)
        host = fields.get(b"host")
        if host is None:
            if version != "1.0":
                raise Failure("invalid_http", HOST_ONCE)
        elif host != self._known_host:
            check_host(host)
            self._known_host = host
        length = read_length(fields, version)
        method = parser.get_method()
        path, query, authority = read_target(method, target)
        if authority is not None:
            fields[b"host"] = authority
            headers = [(name, authority if name == b"host" else value) for name, value in headers]
        keep_alive = parser.should_keep_alive()
        request = Request(client, method, version, path, query, headers, fields, b"", keep_alive)
        self._request = request
        self._body.begin(length)  # if it is refused, who asked is known
        self._target = b""
        self._offered = parser.should_upgrade()
        self.stage = BODY
        self._head_bytes = 0
        receiver.head_in(request, length)
        opening = self._opening
        if opening:
            self._opening = b""
            self._owed = self._learn(opening, request, length)

    def _too_long(self) -> Failure:
        return Failure("headers_too_large", f"the request head is over {self._limit_bytes} bytes")
