"""Embeddings and rerank of Cohere's API, version 2 (cohere v2/raw_client.py)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engines.wire.dialect import Dialect
from engines.wire.foreign import Foreign
from engines.wire.unary import answers
from engines.wire.unary.port import EmbeddingsRequest, RerankRequest, Told, UnaryRequest
from engines.wire.unary.reading import read, whole

_encode = msgspec.json.Encoder().encode
_DIALECT: Foreign = Foreign()
EMBEDS: Final = frozenset({"embeddings", "several_inputs", "dimensions", "input_type", "truncate"})
RERANKS: Final = frozenset({"rerank", "max_tokens_per_doc"})
USUAL_INPUT: Final = "search_document"
"""What a text is where the client does not say: every model since version 3 must be told."""


class ByType(msgspec.Struct):
    floats: list[msgspec.Raw] = msgspec.field(name="float")


class Units(msgspec.Struct):
    input_tokens: float | None = None
    search_units: float | None = None


class Meta(msgspec.Struct):
    billed_units: Units | None = None


class Embedded(msgspec.Struct):
    embeddings: ByType
    meta: Meta | None = None


class Ranked(msgspec.Struct):
    index: int
    relevance_score: float


class Reranked(msgspec.Struct):
    results: list[Ranked]
    meta: Meta | None = None


_embedded = msgspec.json.Decoder(Embedded)
_reranked = msgspec.json.Decoder(Reranked)


def embed_members(request: EmbeddingsRequest, takes: frozenset[str]) -> dict[str, Any]:
    """All but the model, as Cohere's own API and Bedrock take it."""
    body: dict[str, Any] = {
        "texts": request.inputs,
        "input_type": request.extensions.get("input_type", USUAL_INPUT) if "input_type" in takes else USUAL_INPUT,
        "embedding_types": ["float"],
    }
    if request.dimensions is not None and "dimensions" in takes:
        body["output_dimension"] = request.dimensions
    if "truncate" in request.extensions and "truncate" in takes:
        body["truncate"] = request.extensions["truncate"]
    return body


def rerank_members(request: RerankRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"query": request.query, "documents": request.documents}
    if request.most is not None:
        body["top_n"] = request.most
    return body


def ranked(model: str, request: RerankRequest, body: bytes) -> Told:
    answer = read(_reranked, body)
    results = [(one.index, one.relevance_score) for one in answer.results]
    units = answer.meta.billed_units if answer.meta is not None else None
    searches = whole(units.search_units) if units is not None else None
    return answers.rerank(model, request, results, None, searches or 0)


class CohereEmbeddings:
    """See `port.UnaryForm`."""

    name: str = "cohere"

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        return EMBEDS

    def path(self, model: str, request: UnaryRequest) -> str:
        return "/v2/embed"

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, EmbeddingsRequest)
        return _encode({"model": model, **embed_members(request, takes)})

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        assert isinstance(request, EmbeddingsRequest)
        answer = read(_embedded, body)
        units = answer.meta.billed_units if answer.meta is not None else None
        tokens = whole(units.input_tokens) if units is not None else None
        return answers.embeddings(model, request, answer.embeddings.floats, tokens)


class CohereRerank:
    """See `port.UnaryForm`."""

    name: str = "cohere"

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        return RERANKS

    def path(self, model: str, request: UnaryRequest) -> str:
        return "/v2/rerank"

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, RerankRequest)
        body = {"model": model, **rerank_members(request)}
        if "max_tokens_per_doc" in request.extensions and "max_tokens_per_doc" in takes:
            body["max_tokens_per_doc"] = request.extensions["max_tokens_per_doc"]
        return _encode(body)

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        assert isinstance(request, RerankRequest)
        return ranked(model, request, body)
