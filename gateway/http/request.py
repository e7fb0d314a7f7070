"""One whole request as the server read it, and which operation its path means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from engines.model import Operation
from engines.operations import PATHS
from engines.wire import DIALECTS, Dialect

if TYPE_CHECKING:
    from engines.model import Deadlines
    from gateway.identity import Keyring, Principal


class Client(Protocol):
    """Whoever is to be answered. One answer: `respond`, or `begin_stream` and `write`s and then `end_stream` or `cut`.

    Once it has gone, all of these do nothing.
    """

    __slots__ = ()

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer in one write. `headers` is a block of complete header lines."""

    def begin_stream(self, status: int, headers: bytes, first: bytes) -> None:
        """The head of an answer of unknown length together with its first bytes."""

    def write(self, data: bytes) -> None:
        """More of the answer begun; `data` is not empty."""

    def end_stream(self, last: bytes = b"") -> None:
        """The answer is whole, with these last bytes."""

    def cut(self) -> None:
        """Break the answer off in a way that the client must notice."""


class HeadNotes:
    """What the data path has found in the head of a request, for the next one with the same head
    (`gateway.http.familiar`): its method, its coding and all that is noted here are good."""

    __slots__ = ("complete", "deadlines", "explains", "forwarded", "priority", "request_id")

    def __init__(self) -> None:
        self.complete = False
        """Whether it was looked through, and nothing was wrong."""
        self.request_id = b""
        """The id that it brings; empty where it brings none that is well-formed."""
        self.deadlines: Deadlines | None = None
        """What it says of the client's time."""
        self.priority: int | None = None
        self.explains = False
        """Whether it asks for an explanation."""
        self.forwarded: dict[bytes, bytes] = {}
        """Those of its headers that an engine may hear of."""


class Request:
    """One whole request, head and body."""

    __slots__ = (
        "admitted_by",
        "body",
        "connection",
        "fields",
        "headers",
        "keep_alive",
        "method",
        "notes",
        "path",
        "principal",
        "query",
        "version",
    )

    def __init__(
        self,
        connection: Client,
        method: bytes,
        version: str,
        path: bytes,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        fields: dict[bytes, bytes],
        body: bytes,
        keep_alive: bool,
        notes: HeadNotes | None = None,
    ) -> None:
        """`notes`: of a head that is known."""
        self.connection = connection
        self.method = method
        self.version = version
        self.path = path
        self.query = query
        self.headers = headers
        """Names in lower case, in order."""
        self.fields = fields
        """The last value of each header."""
        self.body = body
        self.keep_alive = keep_alive
        self.notes = HeadNotes() if notes is None else notes
        self.principal: Principal | None = None
        """Who asks; known of every inference request and of whatever brings a body."""
        self.admitted_by: Keyring | None = None
        """What found that out, and whether its head may come in at all."""

    @property
    def forwarded(self) -> dict[bytes, bytes]:
        """Those of its headers that an engine may hear of, once they have been looked for; all of them before."""
        return self.notes.forwarded if self.notes.complete else self.fields


def dialect_of(path: bytes) -> Dialect:
    """The wire format in which a client of this path expects its errors."""
    operation = PATHS.get(path)
    if operation is None:
        operation = Operation.MESSAGES if path.startswith(b"/v1/messages") else Operation.CHAT
    return DIALECTS[operation]
