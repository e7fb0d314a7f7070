"""Embeddings and rerank of Bedrock's InvokeModel, whose bodies are those of each maker's models.

Titan embeds one text a call (docs.aws.amazon.com, model-parameters-titan-embed-text); Cohere's models take what its own
API takes, without the model, and rerank wants its version.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from engines.wire.dialect import Dialect
from engines.wire.foreign import Foreign
from engines.wire.request import Unreadable
from engines.wire.unary import answers
from engines.wire.unary.cohere import EMBEDS, embed_members, ranked, rerank_members
from engines.wire.unary.port import EmbeddingsRequest, Misread, RerankRequest, Told, UnaryRequest
from engines.wire.unary.reading import read, whole

_encode = msgspec.json.Encoder().encode
_DIALECT: Foreign = Foreign()
_TITAN: Final = "titan-embed-text"
_TITAN_TAKES: Final = frozenset({"embeddings", "dimensions"})
_COHERE_EMBED: Final = "cohere.embed"
_RERANKERS: Final = ("cohere.rerank", "amazon.rerank")


class Titan(msgspec.Struct, rename="camel"):
    embedding: msgspec.Raw
    input_text_token_count: float | None = None


class ByType(msgspec.Struct):
    floats: list[msgspec.Raw] | None = msgspec.field(default=None, name="float")


class OfCohere(msgspec.Struct):
    embeddings: ByType | list[msgspec.Raw]
    """By type for whoever asks for types, which older models do not know."""


_titan = msgspec.json.Decoder(Titan)
_cohere = msgspec.json.Decoder(OfCohere)


def _path(model: str) -> str:
    """An ARN has slashes, which are no part of the path."""
    return f"/model/{quote(model, safe='')}/invoke"


class BedrockEmbeddings:
    """See `port.UnaryForm`."""

    name: str = "bedrock"

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        if "*" in model:  # which it will be, nobody knows yet
            return EMBEDS
        if _TITAN in model:
            return _TITAN_TAKES if "v2" in model else frozenset({"embeddings"})
        return EMBEDS if _COHERE_EMBED in model else frozenset()

    def path(self, model: str, request: UnaryRequest) -> str:
        return _path(model)

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, EmbeddingsRequest)
        if _COHERE_EMBED in model:
            return _encode(embed_members(request, takes))
        if _TITAN not in model:
            raise Unreadable(f"{model!r} is no model that is known to embed", "model")
        if len(request.inputs) > 1:
            raise Unreadable("this model embeds one text a call", "input")
        body: dict[str, Any] = {"inputText": request.inputs[0]}
        if request.dimensions is not None and "dimensions" in takes:
            body["dimensions"] = request.dimensions
        return _encode(body)

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        assert isinstance(request, EmbeddingsRequest)
        if _COHERE_EMBED not in model:
            answer = read(_titan, body)
            return answers.embeddings(model, request, [answer.embedding], whole(answer.input_text_token_count))
        found = read(_cohere, body).embeddings
        vectors = found if isinstance(found, list) else found.floats
        if vectors is None:
            raise Misread("the engine sent no vectors of floats")
        return answers.embeddings(model, request, vectors, None)


class BedrockRerank:
    """See `port.UnaryForm`."""

    name: str = "bedrock"

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        return frozenset({"rerank"}) if any(name in model for name in (*_RERANKERS, "*")) else frozenset()

    def path(self, model: str, request: UnaryRequest) -> str:
        return _path(model)

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, RerankRequest)
        version = {"api_version": 2} if "cohere" in model else {}
        return _encode({**rerank_members(request), **version})

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        assert isinstance(request, RerankRequest)
        return ranked(model, request, body)
