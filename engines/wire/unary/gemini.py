"""Embeddings of Gemini's API (google-genai models.py, batchEmbedContents) and of Vertex AI's (predict)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from engines.wire.dialect import Dialect
from engines.wire.foreign import Foreign
from engines.wire.unary import answers
from engines.wire.unary.port import EmbeddingsRequest, Told, UnaryRequest
from engines.wire.unary.reading import read, whole

_encode = msgspec.json.Encoder().encode
_DIALECT: Foreign = Foreign()
TAKES: Final = frozenset({"embeddings", "several_inputs", "dimensions", "task_type", "title"})


class Values(msgspec.Struct):
    values: msgspec.Raw


class Counts(msgspec.Struct, rename="camel"):
    prompt_token_count: float | None = None


class Batch(msgspec.Struct, rename="camel"):
    embeddings: list[Values]
    usage_metadata: Counts | None = None


class Statistics(msgspec.Struct):
    token_count: float | None = None


class Counted(msgspec.Struct):
    values: msgspec.Raw
    statistics: Statistics | None = None


class Prediction(msgspec.Struct):
    embeddings: Counted


class Predictions(msgspec.Struct):
    predictions: list[Prediction]


_batch = msgspec.json.Decoder(Batch)
_predictions = msgspec.json.Decoder(Predictions)


class GeminiEmbeddings:
    """See `port.UnaryForm`."""

    name: str = "gemini"

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        return TAKES

    def path(self, model: str, request: UnaryRequest) -> str:
        return f"/models/{quote(model, safe='')}:batchEmbedContents"

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, EmbeddingsRequest)
        more: dict[str, Any] = {"model": f"models/{model}"}
        if request.dimensions is not None and "dimensions" in takes:
            more["outputDimensionality"] = request.dimensions
        for name, its in (("task_type", "taskType"), ("title", "title")):
            if name in request.extensions and name in takes:
                more[its] = request.extensions[name]
        contents = [{"role": "user", "parts": [{"text": text}]} for text in request.inputs]
        return _encode({"requests": [{"content": content, **more} for content in contents]})

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        assert isinstance(request, EmbeddingsRequest)
        answer = read(_batch, body)
        tokens = None if answer.usage_metadata is None else whole(answer.usage_metadata.prompt_token_count)
        return answers.embeddings(model, request, [one.values for one in answer.embeddings], tokens)


class VertexEmbeddings:
    """See `port.UnaryForm`."""

    name: str = "vertex"

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        """`gemini-embedding-001` takes one text at a time (cloud.google.com, text-embeddings-api)."""
        return TAKES - {"several_inputs"} if model.startswith("gemini-embedding") else TAKES

    def path(self, model: str, request: UnaryRequest) -> str:
        return f"/models/{quote(model, safe='')}:predict"

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, EmbeddingsRequest)
        said = request.extensions
        more = {name: said[name] for name in ("task_type", "title") if name in said and name in takes}
        body: dict[str, Any] = {"instances": [{"content": text, **more} for text in request.inputs]}
        if request.dimensions is not None and "dimensions" in takes:
            body["parameters"] = {"outputDimensionality": request.dimensions}
        return _encode(body)

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        assert isinstance(request, EmbeddingsRequest)
        vectors = [one.embeddings for one in read(_predictions, body).predictions]
        counts = [whole(one.statistics.token_count) for one in vectors if one.statistics is not None]
        tokens = sum(count or 0 for count in counts) if len(counts) == len(vectors) else None
        return answers.embeddings(model, request, [one.values for one in vectors], tokens)
