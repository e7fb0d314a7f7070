"""OpenAI Responses as a format that clients ask in. Engines are asked for a chat instead, which they all speak."""

from __future__ import annotations

from collections.abc import Generator, Sequence, Set

from engines.wire.codec import Echo, StreamEncoder
from engines.wire.events import Event
from engines.wire.openai_responses import request_decoder, stream_encoder
from engines.wire.openai_responses.echo import echoed
from engines.wire.request import ChatRequest


class ResponsesIngress:
    """See `engines.wire.codec.Ingress`."""

    name: str = request_decoder.NAME

    def decode_request(self, body: bytes) -> ChatRequest:
        return request_decoder.decode_request(body)

    def request_in_turns(self, body: bytes) -> Generator[int, None, ChatRequest]:
        return request_decoder.request_in_turns(body)

    def echo(self, request: ChatRequest, untold: Set[str]) -> Echo:
        return echoed(request, untold)

    def stream_encoder(self, model: str, created: int, answer_id: str, echo: Echo | None = None) -> StreamEncoder:
        return stream_encoder.ResponsesStreamEncoder(model, created, answer_id, echo)

    def encode_answer(
        self, events: Sequence[Event], model: str, created: int, answer_id: str, echo: Echo | None = None
    ) -> bytes:
        return stream_encoder.encode_answer(events, model, created, answer_id, echo)


INGRESS: ResponsesIngress = ResponsesIngress()
