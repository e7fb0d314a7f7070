"""The ports of translation: a client's format is an `Ingress`, an engine's an `Egress`.

They meet in `events` and `request`. All of it is synchronous and knows no socket. A decoder takes whole events of its
format, so that framing is done once, by whoever relays.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence, Set
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from engines.model import Usage
from engines.wire.dialect import NEVER, NOTHING, ApiError, Dialect, Finding, Reader
from engines.wire.events import Event

if TYPE_CHECKING:
    from engines.wire.request import ChatRequest


Echo = dict[str, msgspec.Raw]
"""Members of an answer that say again what its request said, as JSON."""
EVENT_STREAM: Final = b"application/vnd.amazon.eventstream"
"""The media type of a stream that is binary (`engines.eventstream`)."""


class StreamDecoder(Protocol):
    """Reads an engine's stream."""

    __slots__ = ()

    @property
    def finished(self) -> bool:
        """Whether the engine has said how its answer ends."""

    def read(self, event: bytes) -> Sequence[Event]:
        """What one whole event says."""


class StreamEncoder(Protocol):
    """Writes a client's stream."""

    __slots__ = ()

    def write(self, event: Event) -> bytes:
        """The frames that say this; none where the format says it later, or never. Not for `Failed` and `End`.
        Raises `engines.wire.bounds.Unsayable`."""

    def closing(self, usage: Usage | None) -> tuple[bytes, bytes]:
        """The frames of a stream that is whole: one that holds only the usage, where the format has such a one and the
        client may not have asked for it, and those that end it."""

    def error_event(self, error: ApiError) -> bytes:
        """What tells a client that its stream has failed, after what was written so far."""


class Ingress(Protocol):
    """A format that clients ask in."""

    @property
    def name(self) -> str: ...

    def decode_request(self, body: bytes) -> ChatRequest:
        """Raises `engines.wire.request.Unreadable` for what is no request of the format."""

    def request_in_turns(self, body: bytes) -> Generator[int, None, ChatRequest]:
        """The same, with a chance for others now and then: each yield is how many elements were read since the last
        (`engines.wire.bulk`)."""

    def echo(self, request: ChatRequest, untold: Set[str]) -> Echo:
        """What an answer says again of this request; empty where its format says nothing of the sort. `untold`: the
        names (`engines.wire.features`) of what the target was not told."""

    def stream_encoder(self, model: str, created: int, answer_id: str, echo: Echo | None = None) -> StreamEncoder:
        """For an answer of this upstream model, made at `created` (Unix seconds). `answer_id`: letters and digits to
        make an id from, where the engine gives none."""

    def encode_answer(
        self, events: Sequence[Event], model: str, created: int, answer_id: str, echo: Echo | None = None
    ) -> bytes:
        """The plain answer that says all of these. Raises `engines.wire.bounds.Unsayable`."""


class Egress(Protocol):
    """A format that engines are asked in."""

    @property
    def name(self) -> str: ...

    @property
    def dialect(self) -> Dialect:
        """How its plain answers and its errors are read."""

    @property
    def takes(self) -> frozenset[str]:
        """What it has a word for, by the names of `engines.wire.features`."""

    @property
    def stream_type(self) -> bytes:
        """The media type of its streams."""

    def path(self, model: str, stream: bool) -> str:
        """Where it is asked, as `engines.port.Outgoing.path`."""

    def encode_request(self, request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
        """The body that asks for the same of `model`. `takes`: what that model takes; all else is left out. Raises
        `engines.wire.request.Unreadable` for what cannot be said at all."""

    def encode_in_turns(self, request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, bytes]:
        """The same, with a chance for others now and then (`engines.wire.writing`)."""

    def stream_decoder(self) -> StreamDecoder: ...

    def decode_answer(self, body: bytes) -> Sequence[Event]:
        """What a plain answer says; `Failed` when it is none of the format."""


class Translation(Reader):
    """One stream on its way from a format to another, as the relay sees it: a reader to which every event matters."""

    __slots__ = ("decoder", "encoder")

    def __init__(self, decoder: StreamDecoder, encoder: StreamEncoder) -> None:
        self.decoder = decoder
        self.encoder = encoder

    @property
    def finished(self) -> bool:
        return self.decoder.finished

    def may_matter(self, block: bytes) -> bool:
        return True

    def ordinary(self, event: bytes) -> tuple[bytes, bytes]:
        return NEVER

    def contents(self, block: bytes) -> int:
        return 0  # the relay counts what it has read

    def read(self, event: bytes) -> Finding:
        return NOTHING  # what an event says is more than one finding

    def error_event(self, error: ApiError) -> bytes:
        return self.encoder.error_event(error)
