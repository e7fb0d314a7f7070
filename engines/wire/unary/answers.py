"""Answers as clients read them: OpenAI's of embeddings, Jina's of rerank."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engines.model import Usage
from engines.wire.unary.port import EmbeddingsRequest, Misread, RerankRequest, Told

_encode = msgspec.json.Encoder().encode
BYTES_PER_TOKEN: Final = 4
"""What an estimate is made by where an engine counts no tokens."""


def embeddings(model: str, request: EmbeddingsRequest, vectors: Sequence[Sequence[float]], tokens: int | None) -> Told:
    """`tokens`: of the input, as the engine reports them. Raises Misread for another number of vectors than texts."""
    if len(vectors) != len(request.inputs):
        raise Misread(f"the engine sent {len(vectors)} vectors for {len(request.inputs)} texts")
    written: Sequence[Any] = [_packed(vector) for vector in vectors] if request.packed else vectors
    usage = _usage(request.inputs, tokens)
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(written)],
        "model": model,
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens},
    }
    return Told(_encode(body), usage)


def rerank(model: str, request: RerankRequest, results: Sequence[tuple[int, float]], tokens: int | None) -> Told:
    """`results`: the index of a document and how relevant it is, the best first. Raises Misread."""
    told: list[dict[str, Any]] = []
    ranked: set[int] = set()
    for index, score in results:
        if index in ranked:
            raise Misread(f"the engine ranks document {index} twice")
        ranked.add(index)
        if not 0 <= index < len(request.documents):
            raise Misread(f"the engine ranks a document {index} of {len(request.documents)}")
        document = {"document": {"text": request.documents[index]}} if request.with_documents else {}
        told.append({"index": index, **document, "relevance_score": score})
    usage = _usage([request.query, *request.documents], tokens)
    body = {"object": "list", "model": model, "usage": {"total_tokens": usage.input_tokens}, "results": told}
    return Told(_encode(body), usage)


def _packed(vector: Sequence[float]) -> str:
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()


def _usage(texts: Sequence[str], tokens: int | None) -> Usage:
    if tokens is not None:
        return Usage(tokens, 0)
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return Usage(max(1, size // BYTES_PER_TOKEN), 0, source="estimated")
