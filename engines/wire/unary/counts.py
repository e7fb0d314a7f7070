"""How many tokens a conversation is, asked of providers with an endpoint for that: countTokens of Gemini and Vertex AI,
CountTokens of Bedrock. The request is Anthropic's (`/v1/messages/count_tokens`); counted is what a chat would send.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final
from urllib.parse import quote

import msgspec

from engines.model import Usage
from engines.wire.anthropic_messages.request_decoder import request_in_turns
from engines.wire.bedrock_converse.codec import EGRESS as BEDROCK
from engines.wire.dialect import Dialect
from engines.wire.features import asked
from engines.wire.foreign import Foreign
from engines.wire.gemini.codec import EGRESS as GEMINI
from engines.wire.unary.port import CountRequest, Misread, Told, UnaryRequest
from engines.wire.unary.reading import read, whole

_encode = msgspec.json.Encoder().encode
_DIALECT: Foreign = Foreign()
TAKES: Final = frozenset({"count_tokens"})
"""Beside what a chat there takes."""
_COUNTED: Final = ("messages", "system", "toolConfig", "additionalModelRequestFields")
"""Members of a Converse request that ConverseTokensRequest has (bedrock-runtime service-2.json)."""
_OF_VERTEX: Final = ("contents", "systemInstruction", "tools", "generationConfig")


class Gemini(msgspec.Struct, rename="camel"):
    total_tokens: float


class Bedrock(msgspec.Struct, rename="camel"):
    input_tokens: float


_gemini = msgspec.json.Decoder(Gemini)
_bedrock = msgspec.json.Decoder(Bedrock)


def count(body: bytes) -> Generator[int, None, CountRequest]:
    """Raises Unreadable."""
    chat = yield from request_in_turns(body)
    return CountRequest(chat, {**asked(chat), "count_tokens": "count_tokens"})


class GeminiCount:
    """See `port.UnaryForm`."""

    def __init__(self, name: str) -> None:
        self.name: str = name

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        return TAKES

    def path(self, model: str, request: UnaryRequest) -> str:
        return f"/models/{quote(model, safe='')}:countTokens"

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, CountRequest)
        body: dict[str, Any] = msgspec.json.decode(GEMINI.encode_request(request.chat, model, takes))
        if self.name == "vertex":
            return _encode({name: body[name] for name in _OF_VERTEX if name in body})
        return _encode({"generateContentRequest": {"model": f"models/{model}", **body}})

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        return told(read(_gemini, body).total_tokens)


class BedrockCount:
    """See `port.UnaryForm`."""

    name: str = "bedrock"

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        return TAKES

    def path(self, model: str, request: UnaryRequest) -> str:
        return f"/model/{quote(model, safe='')}/count-tokens"

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, CountRequest)
        body: dict[str, Any] = msgspec.json.decode(BEDROCK.encode_request(request.chat, model, takes))
        return _encode({"input": {"converse": {name: body[name] for name in _COUNTED if name in body}}})

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        return told(read(_bedrock, body).input_tokens)


def told(tokens: float) -> Told:
    """As Anthropic's clients read it. Nobody is charged for a count."""
    count = whole(tokens)
    if count is None:
        raise Misread("the engine sent no count of tokens")
    return Told(iter([b'{"input_tokens":%d}' % count]), Usage(0, 0))
