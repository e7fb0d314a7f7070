"""Embeddings and rerank of Bedrock's InvokeModel, whose bodies are those of each maker's models.

Titan embeds one text a call (docs.aws.amazon.com, model-parameters-titan-embed-text); Cohere's models take what its own
API takes, without the model, and rerank wants its version. Nova embeds one thing a call, here a text
(docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html), and counts no tokens.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from engines.wire.dialect import Dialect
from engines.wire.foreign import Foreign
from engines.wire.request import Unreadable
from engines.wire.unary import answers
from engines.wire.unary.cohere import EMBEDS, USUAL_INPUT, embed_members, ranked, rerank_members
from engines.wire.unary.port import EmbeddingsRequest, Misread, RerankRequest, Told, UnaryRequest
from engines.wire.unary.reading import read, whole

_encode = msgspec.json.Encoder().encode
_DIALECT: Foreign = Foreign()
_TITAN: Final = "titan-embed-text"
_TITAN_TAKES: Final = frozenset({"embeddings", "dimensions"})
_NOVA: Final = "multimodal-embeddings"
_NOVA_TAKES: Final = frozenset({"embeddings", "dimensions", "input_type", "truncate"})
_PURPOSES: Final = {
    "search_document": "GENERIC_INDEX",
    "search_query": "GENERIC_RETRIEVAL",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
"""Cohere's words, which clients use, and Nova's."""
_CUTS: Final = ("START", "END", "NONE")
_DIMENSIONS: Final = (256, 384, 1024, 3072)
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


class Made(msgspec.Struct):
    embedding: msgspec.Raw


class Nova(msgspec.Struct):
    embeddings: list[Made]


_nova = msgspec.json.Decoder(Nova)
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
        if _NOVA in model:
            return _NOVA_TAKES
        return EMBEDS if _COHERE_EMBED in model else frozenset()

    def path(self, model: str, request: UnaryRequest) -> str:
        return _path(model)

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, EmbeddingsRequest)
        if _COHERE_EMBED in model:
            return _encode(embed_members(request, takes))
        if _TITAN not in model and _NOVA not in model:
            raise Unreadable(f"{model!r} is no model that is known to embed", "model")
        if len(request.inputs) > 1:
            raise Unreadable("this model embeds one text a call", "input")
        if _NOVA in model:
            return _encode(_asked_of_nova(request, takes))
        body: dict[str, Any] = {"inputText": request.inputs[0]}
        if request.dimensions is not None and "dimensions" in takes:
            body["dimensions"] = request.dimensions
        return _encode(body)

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        assert isinstance(request, EmbeddingsRequest)
        if _NOVA in model:
            made = read(_nova, body).embeddings
            return answers.embeddings(model, request, [one.embedding for one in made], None)
        if _COHERE_EMBED not in model:
            answer = read(_titan, body)
            return answers.embeddings(model, request, [answer.embedding], whole(answer.input_text_token_count))
        found = read(_cohere, body).embeddings
        vectors = found if isinstance(found, list) else found.floats
        if vectors is None:
            raise Misread("the engine sent no vectors of floats")
        return answers.embeddings(model, request, vectors, None)


def _asked_of_nova(request: EmbeddingsRequest, takes: frozenset[str]) -> dict[str, Any]:
    """Raises Unreadable for what it does not know."""
    said = {name: value for name, value in request.extensions.items() if name in takes}
    wanted = said.get("input_type", USUAL_INPUT)
    purpose = _PURPOSES.get(wanted) if isinstance(wanted, str) else None
    if purpose is None:
        raise Unreadable(f"`input_type` should be one of {', '.join(_PURPOSES)}", "input_type")
    cut = said.get("truncate", "END")
    if cut not in _CUTS:
        raise Unreadable(f"`truncate` should be one of {', '.join(_CUTS)}", "truncate")
    params: dict[str, Any] = {"embeddingPurpose": purpose, "text": {"truncationMode": cut, "value": request.inputs[0]}}
    if request.dimensions is not None and "dimensions" in takes:
        if request.dimensions not in _DIMENSIONS:
            raise Unreadable(f"`dimensions` should be one of {', '.join(map(str, _DIMENSIONS))}", "dimensions")
        params["embeddingDimension"] = request.dimensions
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}


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
