"""OpenAI chat as a format that clients ask in and engines are asked in."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence, Set
from typing import Any

import msgspec

from engines.wire.codec import Echo, StreamDecoder, StreamEncoder
from engines.wire.dialect import Dialect
from engines.wire.events import Event
from engines.wire.limited import limited
from engines.wire.openai_chat import request_decoder, request_encoder, stream_decoder, stream_encoder
from engines.wire.openai_chat.dialect import DIALECT
from engines.wire.request import ChatRequest
from engines.wire.writing import WALKED, written

_encode = msgspec.json.Encoder().encode


class ChatIngress:
    """See `engines.wire.codec.Ingress`."""

    name: str = request_decoder.NAME

    def decode_request(self, body: bytes) -> ChatRequest:
        return request_decoder.decode_request(body)

    def request_in_turns(self, body: bytes) -> Generator[int, None, ChatRequest]:
        return request_decoder.request_in_turns(body)

    def echo(self, request: ChatRequest, untold: Set[str]) -> Echo:
        return {}

    def stream_encoder(self, model: str, created: int, answer_id: str, echo: Echo | None = None) -> StreamEncoder:
        return stream_encoder.ChatStreamEncoder(model, created, answer_id)

    def encode_answer(
        self, events: Sequence[Event], model: str, created: int, answer_id: str, echo: Echo | None = None
    ) -> bytes:
        return stream_encoder.encode_answer(events, model, created, answer_id)


class ChatEgress:
    """See `engines.wire.codec.Egress`."""

    stream_type: bytes = b"text/event-stream"

    def __init__(
        self,
        name: str,
        takes: frozenset[str],
        members: Callable[[ChatRequest, str, frozenset[str]], dict[str, Any]],
    ) -> None:
        """`members` makes the body, taken apart."""
        self.name: str = name
        self.takes: frozenset[str] = takes
        self._members = members

    @property
    def dialect(self) -> Dialect:
        return DIALECT

    def path(self, model: str, stream: bool) -> str:
        return "/v1/chat/completions"

    def encode_request(self, request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
        return _encode(self._members(limited(request, takes, system_alone=True), model, takes))

    def encode_in_turns(self, request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, bytes]:
        told = limited(request, takes, system_alone=True)
        yield WALKED
        body = self._members(told, model, takes)
        yield WALKED
        return (yield from written(body, "messages"))

    def stream_decoder(self) -> StreamDecoder:
        return stream_decoder.ChatStreamDecoder()

    def decode_answer(self, body: bytes) -> Sequence[Event]:
        return stream_decoder.decode_answer(body)


INGRESS: ChatIngress = ChatIngress()
EGRESS: ChatEgress = ChatEgress("openai_chat", request_encoder.TAKES, request_encoder.openai_members)
COMPATIBLE: ChatEgress = ChatEgress(
    "compatible_chat", request_encoder.COMPATIBLE_TAKES, request_encoder.compatible_members
)
"""Whoever speaks OpenAI's chat and is not OpenAI."""
