"""Bedrock's Converse as a format that engines are asked in."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from urllib.parse import quote

from engines.wire.bedrock_converse import request_encoder, stream_decoder
from engines.wire.codec import EVENT_STREAM, StreamDecoder
from engines.wire.dialect import Dialect
from engines.wire.events import Event
from engines.wire.foreign import Foreign
from engines.wire.limited import limited
from engines.wire.request import ChatRequest
from engines.wire.writing import WALKED, written

_DIALECT: Foreign = Foreign()


class ConverseEgress:
    """See `engines.wire.codec.Egress`."""

    name: str = request_encoder.NAME
    takes: frozenset[str] = request_encoder.TAKES
    stream_type: bytes = EVENT_STREAM

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def path(self, model: str, stream: bool) -> str:
        """An ARN has slashes, which are no part of the path."""
        return f"/model/{quote(model, safe='')}/converse{'-stream' if stream else ''}"

    def encode_request(self, request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
        return request_encoder.encode_request(limited(request, takes), model, takes)

    def encode_in_turns(self, request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, bytes]:
        told = limited(request, takes)
        yield WALKED
        body = yield from request_encoder.members_in_turns(told, model, takes)
        yield WALKED
        return (yield from written(body, "messages"))

    def stream_decoder(self) -> StreamDecoder:
        return stream_decoder.ConverseStreamDecoder()

    def decode_answer(self, body: bytes) -> Sequence[Event]:
        return stream_decoder.decode_answer(body)


EGRESS: ConverseEgress = ConverseEgress()
