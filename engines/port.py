"""The ports between the gateway and whatever serves a model.

The data path is push, not pull: an engine hands each piece of an answer to a `Sink` from the event loop's own read
callback. A pulled stream (`async for`) would cost a future and a task wake-up per chunk, about 4 us measured, which
is half of what relaying a chunk costs altogether.

Order of calls on one sink: head -> (data+ flush)* -> data* -> (done | failed), or failed alone. Only `data` and `flush`
are called more than once.
No call is made after `done`, `failed` or `Exchange.abort`. `failed` may come from within `Engine.send`.

What the request path meets names its port as a base: compiled, a call through the port is then a jump, where it would
otherwise be looked up by name. Fakes need not.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engines.errors import EngineError
from engines.loads.load import EngineLoad
from engines.model import Deadlines, Operation
from engines.model_list import ListedModel
from engines.wire.dialect import Dialect

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields in the order received, names in lower case."""


class Sink(Protocol):
    """Receives one answer, piece by piece."""

    __slots__ = ()

    def head(self, status: int, headers: Headers) -> None:
        """The final (non-1xx) status and headers."""

    def data(self, data: bytes) -> None:
        """Body bytes, transfer coding removed; not necessarily whole events."""

    def flush(self) -> None:
        """One read from the engine is over: what came together in it may leave together. Never before `data`."""

    def done(self) -> None:
        """The body ended as its framing promised."""

    def failed(self, error: EngineError) -> None:
        """Nothing more will come; the connection is already closed."""


class Exchange(Protocol):
    """One request in flight. Assign `sink` to hand the rest of the answer to another sink."""

    __slots__ = ("sink", "unsent_share", "written")

    sink: Sink
    unsent_share: float
    """Of a body, once its call has ended before it was answered whole: how much of it was not handed to the kernel, as
    far as is known; 0.0 where all of it may have been."""
    written: bool
    """Whether a byte of the request has been written to the engine, or may have been; of an end that tells that it was
    not acted on, False."""

    def pause(self) -> None:
        """Stop reading from the engine, because the client is slower."""

    def resume(self) -> None:
        """Read on."""

    def abort(self) -> None:
        """Close the upstream connection now. The sink hears nothing more. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One server of an engine. `id` is unique within the engine and is what clients and metrics see."""

    id: str
    url: str
    zone: str = ""
    """Where it runs; empty where nobody said."""
    key: int = 0
    """With which of its engine's keys it is asked: a server is as many replicas as there are keys."""
    life: str = ""
    """What another server under the same id would have another of: a pod its UID, a launched one its process. Empty
    where nobody said."""

    def succeeds(self, other: Replica) -> bool:
        """Whether it is known to be another server than that one."""
        return self.life != other.life and bool(self.life and other.life)


class Outgoing:
    """One request as an engine is to send it. A plain class: a frozen dataclass costs three times as much to make."""

    __slots__ = ("body", "headers", "method", "path")

    def __init__(self, path: str, headers: bytes, body: bytes, method: bytes = b"POST") -> None:
        self.method = method
        self.path = path
        """As `Operation.value` spells it, places filled, perhaps with a query; an engine puts its base before it."""
        self.headers = headers
        """A block of complete `name: value\\r\\n` lines, added to the engine's own."""
        self.body = body


class Engine(Protocol):
    """One named engine of the configuration: a set of replicas that serve the same models."""

    __slots__ = (
        "accepts_stream_options",
        "continues_chat",
        "continuous_usage",
        "keyed",
        "kind",
        "name",
        "operations",
        "secrets",
        "tells_limits",
        "tells_load",
    )

    name: str
    kind: str
    operations: frozenset[Operation]
    """What this engine speaks; anything else is a 400 that names the engine."""
    keyed: bool
    """Whether its replicas differ in the key that they are asked with."""
    tells_limits: bool
    """Whether an answer may tell what the key that it was asked with may still do (`engines.loads.limits`)."""
    tells_load: bool
    """Whether an answer tells the replica's load when the request asks for it (`engines.loads.header`)."""
    accepts_stream_options: bool
    """Whether `stream_options` may be sent; where not, the engine reports usage unasked or not at all."""
    continues_chat: bool
    """Whether a chat may end with the beginning of the answer, to be continued (`continue_final_message`)."""
    continuous_usage: bool
    """Whether each event of a stream is to hold the usage so far, so that of one that is cut short it is known."""
    secrets: tuple[bytes, ...]
    """Byte strings that must never appear in anything passed to a client."""

    @property
    def replicas(self) -> tuple[Replica, ...]: ...

    def dialect(self, operation: Operation) -> Dialect:
        """The wire format in which this engine answers one of its operations."""

    def send(self, replica_id: str, outgoing: Outgoing, deadlines: Deadlines, sink: Sink) -> Exchange:
        """Send one request.

        Never raises for I/O: whatever happens is told to the sink.
        """

    async def probe(self, replica_id: str) -> str:
        """Ask a free endpoint whether the replica is up: why it is not, or an empty string. Never a paid call: engines
        without a free endpoint are taken to be up.

        Raises OutOfSockets when we could not ask, which says nothing about the replica.
        """

    async def models(self, replica_id: str) -> Mapping[str, ListedModel] | None:
        """The models that the replica lists, by name; None where it has no free list. Raises EngineError when it
        does not answer, CredentialsRefused when it does not let us in."""

    async def load(self, replica_id: str) -> EngineLoad | None:
        """What the replica says of its own load; None where it says nothing. Raises EngineError when it does not
        answer."""

    async def version(self, replica_id: str) -> str:
        """Which version of its engine the replica says that it is; empty where it says nothing. Raises EngineError when
        it does not answer."""

    async def close(self) -> None:
        """Close idle connections; calls in flight go on and close theirs when they end."""


class Spawn(Protocol):
    """Runs background work under the gateway's supervisor; the only way engines start any."""

    def __call__(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None: ...
