"""Embeddings of Mistral's API: OpenAI's, with another word for the dimensions and none for the user.

What it does not know it refuses (mistralai models/embeddingrequest.py).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engines.wire.dialect import Dialect
from engines.wire.foreign import Foreign
from engines.wire.unary import answers
from engines.wire.unary.port import EmbeddingsRequest, Misread, Told, UnaryRequest
from engines.wire.unary.reading import read, whole

_encode = msgspec.json.Encoder().encode
_DIALECT: Foreign = Foreign()
TAKES: Final = frozenset({"embeddings", "several_inputs", "dimensions", "output_dtype", "metadata"})


class Vector(msgspec.Struct):
    embedding: msgspec.Raw
    index: int


class Counts(msgspec.Struct):
    prompt_tokens: float | None = None


class Answer(msgspec.Struct):
    data: list[Vector]
    usage: Counts | None = None


_answer = msgspec.json.Decoder(Answer)


class MistralEmbeddings:
    """See `port.UnaryForm`."""

    name: str = "mistral"

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        return TAKES

    def path(self, model: str, request: UnaryRequest) -> str:
        return "/v1/embeddings"

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, EmbeddingsRequest)
        body: dict[str, Any] = {"model": model, "input": request.inputs}
        if request.dimensions is not None and "dimensions" in takes:
            body["output_dimension"] = request.dimensions
        body |= {name: value for name, value in request.extensions.items() if name in takes}
        return _encode(body)

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        assert isinstance(request, EmbeddingsRequest)
        answer = read(_answer, body)
        data = sorted(answer.data, key=lambda one: one.index)
        if [one.index for one in data] != list(range(len(data))):
            raise Misread("the engine sent vectors whose indexes are not those of the texts")
        vectors = [one.embedding for one in data]
        tokens = whole(answer.usage.prompt_tokens) if answer.usage is not None else None
        return answers.embeddings(model, request, vectors, tokens)
