"""How many tokens a conversation is, asked of providers with an endpoint for that: countTokens of Gemini and Vertex AI,
CountTokens of Bedrock, OpenAI's count of a response's input. The request is Anthropic's
(`/v1/messages/count_tokens`); counted is what a chat would send.

Cohere's tokenize counts a text of 65,536 characters at most (cohere raw_base_client.py), without a chat's template,
tools and pictures: what it says of a chat is less true than an estimate by what the model's own answers reported.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final
from urllib.parse import quote

import msgspec

from engines.model import Usage
from engines.wire.anthropic_messages.request_decoder import request_in_turns
from engines.wire.bedrock_converse.request_encoder import members_in_turns as bedrock_members
from engines.wire.bulk import finished
from engines.wire.dialect import Dialect
from engines.wire.features import asked
from engines.wire.foreign import Foreign
from engines.wire.gemini.request_encoder import members_in_turns as gemini_members
from engines.wire.limited import limited
from engines.wire.openai_responses.request_encoder import countable
from engines.wire.request import ChatRequest
from engines.wire.unary.port import CountRequest, Misread, Told, UnaryRequest
from engines.wire.unary.reading import read, whole
from engines.wire.writing import WALKED, written

_encode = msgspec.json.Encoder().encode
_DIALECT: Foreign = Foreign()
Members = Callable[[ChatRequest, str, frozenset[str]], dict[str, Any]]
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]
TAKES: Final = frozenset({"count_tokens"})
"""Beside what a chat there takes."""
_COUNTED: Final = ("messages", "system", "toolConfig", "additionalModelRequestFields")
"""Members of a Converse request that ConverseTokensRequest has (bedrock-runtime service-2.json)."""
_VERTEXS: Final = ("contents", "systemInstruction", "tools", "generationConfig")


class Gemini(msgspec.Struct, rename="camel"):
    total_tokens: float


class Bedrock(msgspec.Struct, rename="camel"):
    input_tokens: float


class OpenAI(msgspec.Struct):
    input_tokens: float


_gemini = msgspec.json.Decoder(Gemini)
_bedrock = msgspec.json.Decoder(Bedrock)
_openai = msgspec.json.Decoder(OpenAI)


def count(body: bytes) -> Generator[int, None, CountRequest]:
    """Raises Unreadable."""
    chat = yield from request_in_turns(body)
    return CountRequest(chat, {**asked(chat), "count_tokens": "count_tokens"})


class Count:
    """See `port.UnaryForm`; each provider says where it counts and how it is asked."""

    def __init__(self, name: str, members: Members, path: str, ask: Ask, tokens: Callable[[bytes], float]) -> None:
        """`members` are those of a chat, which is counted, and `ask` makes the body of them; a `%s` in `path` is the
        model. `tokens` reads the answer's count, and raises Misread."""
        self.name: str = name
        self._members = members
        self._path = path
        self._ask = ask
        self._tokens = tokens

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        return TAKES

    def path(self, model: str, request: UnaryRequest) -> str:
        return self._path.replace("%s", quote(model, safe=""))

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, CountRequest)
        return _encode(self._asked(model, request.chat, takes))

    def encode_in_turns(self, model: str, request: CountRequest, takes: frozenset[str]) -> Generator[int, None, bytes]:
        """The same, with a chance for others now and then (`engines.wire.writing`)."""
        body = self._asked(model, request.chat, takes)
        yield WALKED
        return (yield from written(body, ""))

    def _asked(self, model: str, chat: ChatRequest, takes: frozenset[str]) -> dict[str, Any]:
        return self._ask(model, self._members(chat, model, takes))

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        """As Anthropic's clients read it. Nobody is charged for a count."""
        count = whole(self._tokens(body))
        if count is None:
            raise Misread("the engine sent no count of tokens")
        return Told(iter([b'{"input_tokens":%d}' % count]), Usage(0, 0))


def _of_gemini(model: str, chat: dict[str, Any]) -> dict[str, Any]:
    return {"generateContentRequest": {"model": f"models/{model}", **chat}}


def _of_vertex(model: str, chat: dict[str, Any]) -> dict[str, Any]:
    return {name: chat[name] for name in _VERTEXS if name in chat}


def _of_bedrock(model: str, chat: dict[str, Any]) -> dict[str, Any]:
    return {"input": {"converse": {name: chat[name] for name in _COUNTED if name in chat}}}


def _of_openai(model: str, chat: dict[str, Any]) -> dict[str, Any]:
    return chat


def _members_of_bedrock(chat: ChatRequest, model: str, takes: frozenset[str]) -> dict[str, Any]:
    return finished(bedrock_members(limited(chat, takes), model, takes))


def _members_of_gemini(chat: ChatRequest, model: str, takes: frozenset[str]) -> dict[str, Any]:
    return finished(gemini_members(limited(chat, takes), model, takes))


def _total(body: bytes) -> float:
    return read(_gemini, body).total_tokens


def _input(body: bytes) -> float:
    return read(_bedrock, body).input_tokens


def _of_input(body: bytes) -> float:
    return read(_openai, body).input_tokens


COUNTS: Final = (
    Count("bedrock", _members_of_bedrock, "/model/%s/count-tokens", _of_bedrock, _input),
    Count("gemini", _members_of_gemini, "/models/%s:countTokens", _of_gemini, _total),
    Count("openai", countable, "/v1/responses/input_tokens", _of_openai, _of_input),
    Count("vertex", _members_of_gemini, "/models/%s:countTokens", _of_vertex, _total),
)
