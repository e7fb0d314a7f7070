"""What a connection needs from whoever answers, as ports: the worker implements them, and so do tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engines.model import Operation
    from gateway.errors import Failure
    from gateway.http.head import Fields
    from gateway.http.request import Request
    from gateway.identity import Keyring


class RequestLimits(Protocol):
    """What the server must know of `limits`."""

    __slots__ = ()

    @property
    def body_bytes(self) -> int: ...
    @property
    def header_bytes(self) -> int: ...
    @property
    def stream_buffer_bytes(self) -> int: ...
    @property
    def connections(self) -> int: ...


class Work(Protocol):
    """Whatever is answering the request in progress."""

    __slots__ = ()

    def client_gone(self) -> None:
        """The connection is lost: stop at once."""

    def client_paused(self) -> None:
        """The client reads slower than we write."""

    def client_resumed(self) -> None:
        """It caught up."""


class Visitor(Protocol):
    """A connection, as whoever keeps count of them sees it."""

    __slots__ = ()

    @property
    def work(self) -> Work | None: ...

    @property
    def idle_since_s(self) -> float | None:
        """Since when, in loop time, it waits for a request of which nothing has come; None when it does not."""

    def drain(self) -> None:
        """Close now if nothing is in progress; else after the answer in progress."""

    def hang_up(self) -> None:
        """Close at once, whatever is in progress."""


class Handler(Protocol):
    """What a connection hands its requests to."""

    @property
    def limits(self) -> RequestLimits: ...

    draining: bool

    def opened(self, visitor: Visitor) -> bool:
        """Count the connection in; False when there are too many."""

    def lingers(self, visitor: Visitor) -> bool:
        """The connection was refused, and waits until its client has read that; False when it may not."""

    def lost(self, visitor: Visitor) -> None: ...

    def admit(self, request: Request, *, length: int, over_unix: bool) -> None:
        """A request's head is in, and its body (`head.read_length`) may come. Raises Failure when it may not."""

    def still_admits(self, keyring: Keyring) -> bool:
        """Whether a head that this keyring let in may come in again, unread."""

    def inference(self, request: Request, operation: Operation) -> Work | None:
        """Begin an inference request; None when it was answered at once."""

    def other(self, request: Request) -> Work | None:
        """Begin any other request."""

    def refused(self, failure: Failure, path: bytes, fields: Fields) -> tuple[bytes, bytes]:
        """A request was refused here, before it reached either; returns its id and that of its record."""
