"""Anthropic Messages as a format that clients ask in and engines are asked in."""

from __future__ import annotations

from collections.abc import Generator, Sequence, Set

from engines.wire.anthropic_messages import request_decoder, request_encoder, stream_decoder, stream_encoder
from engines.wire.anthropic_messages.dialect import DIALECT
from engines.wire.codec import Echo, StreamDecoder, StreamEncoder
from engines.wire.dialect import Dialect
from engines.wire.events import Event
from engines.wire.limited import limited
from engines.wire.request import ChatRequest
from engines.wire.writing import WALKED, written


class MessagesIngress:
    """See `engines.wire.codec.Ingress`."""

    name: str = request_decoder.NAME

    def decode_request(self, body: bytes) -> ChatRequest:
        return request_decoder.decode_request(body)

    def request_in_turns(self, body: bytes) -> Generator[int, None, ChatRequest]:
        return request_decoder.request_in_turns(body)

    def echo(self, request: ChatRequest, untold: Set[str]) -> Echo:
        return {}

    def stream_encoder(self, model: str, created: int, answer_id: str, echo: Echo | None = None) -> StreamEncoder:
        return stream_encoder.MessagesStreamEncoder(model, created, answer_id)

    def encode_answer(
        self, events: Sequence[Event], model: str, created: int, answer_id: str, echo: Echo | None = None
    ) -> bytes:
        return stream_encoder.encode_answer(events, model, created, answer_id)


class MessagesEgress:
    """See `engines.wire.codec.Egress`."""

    name: str = request_decoder.NAME
    takes: frozenset[str] = request_encoder.TAKES
    stream_type: bytes = b"text/event-stream"

    @property
    def dialect(self) -> Dialect:
        return DIALECT

    def path(self, model: str, stream: bool) -> str:
        return "/v1/messages"

    def encode_request(self, request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
        return request_encoder.encode_request(limited(request, takes), model, takes)

    def encode_in_turns(self, request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, bytes]:
        told = limited(request, takes)
        yield WALKED
        body = yield from request_encoder.members_in_turns(told, model, takes)
        yield WALKED
        return (yield from written(body, "messages"))

    def stream_decoder(self) -> StreamDecoder:
        return stream_decoder.MessagesStreamDecoder()

    def decode_answer(self, body: bytes) -> Sequence[Event]:
        return stream_decoder.decode_answer(body)


INGRESS: MessagesIngress = MessagesIngress()
EGRESS: MessagesEgress = MessagesEgress()
