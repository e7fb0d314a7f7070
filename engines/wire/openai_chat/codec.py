"""OpenAI chat as a format that clients ask in and engines are asked in."""

from __future__ import annotations

from collections.abc import Sequence

from engines.wire.codec import StreamDecoder, StreamEncoder
from engines.wire.dialect import Dialect
from engines.wire.events import Event
from engines.wire.openai_chat import request_decoder, request_encoder, stream_decoder, stream_encoder
from engines.wire.openai_chat.dialect import DIALECT
from engines.wire.request import ChatRequest


class ChatIngress:
    """See `engines.wire.codec.Ingress`."""

    name: str = request_decoder.NAME

    def decode_request(self, body: bytes) -> ChatRequest:
        return request_decoder.decode_request(body)

    def stream_encoder(self, model: str, created: int, answer_id: str) -> StreamEncoder:
        return stream_encoder.ChatStreamEncoder(model, created, answer_id)

    def encode_answer(self, events: Sequence[Event], model: str, created: int, answer_id: str) -> bytes:
        return stream_encoder.encode_answer(events, model, created, answer_id)


class ChatEgress:
    """See `engines.wire.codec.Egress`."""

    takes: frozenset[str] = request_encoder.TAKES
    stream_type: bytes = b"text/event-stream"

    def __init__(self, name: str, limit: str) -> None:
        """`limit`: what it calls the bound on the tokens of the answer."""
        self.name: str = name
        self._limit = limit

    @property
    def dialect(self) -> Dialect:
        return DIALECT

    def path(self, model: str, stream: bool) -> str:
        return "/v1/chat/completions"

    def encode_request(self, request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
        return request_encoder.encode_request(request, model, takes, self._limit)

    def stream_decoder(self) -> StreamDecoder:
        return stream_decoder.ChatStreamDecoder()

    def decode_answer(self, body: bytes) -> Sequence[Event]:
        return stream_decoder.decode_answer(body)


INGRESS: ChatIngress = ChatIngress()
EGRESS: ChatEgress = ChatEgress("openai_chat", "max_completion_tokens")
COMPATIBLE: ChatEgress = ChatEgress("compatible_chat", "max_tokens")
"""Whoever speaks OpenAI's chat and is not OpenAI, whose newest models alone refuse `max_tokens`."""
