"""Embeddings, scores and ranks: answers that need prefill only, and `/tokenize` and `/detokenize`, which need none.

Values are made up but stable: equal texts have equal embeddings in every process, and a score is the share of the
query's tokens that the document holds.
"""

from __future__ import annotations

import base64
import random
import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from engines.simulator import tokens
from engines.simulator.formats import chat
from engines.simulator.formats.completions import prompts_of
from engines.simulator.formats.job import bad_request
from engines.simulator.settings import SimulatorSettings

MAX_DIMENSIONS = 16_384


@dataclass(frozen=True, slots=True)
class Pooling:
    """A parsed request: what to prefill, then how to write the answer from (id, created, model)."""

    model: str | None
    prompts: list[list[int]]
    write: Callable[[str, int, str], bytes]


class EmbeddingRequest(msgspec.Struct):
    input: str | list[Any]
    model: str | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"


class RerankRequest(msgspec.Struct):
    query: str
    documents: list[str | dict[str, Any]]
    model: str | None = None
    top_n: int = 0


class ScoreRequest(msgspec.Struct):
    text_1: str | list[str] | None = None
    text_2: str | list[str] | None = None
    queries: str | list[str] | None = None
    documents: str | list[str] | None = None
    model: str | None = None


class TokenizeRequest(msgspec.Struct):
    prompt: str | None = None
    messages: list[chat.Message] | None = None
    model: str | None = None
    return_token_strs: bool | None = False


class DetokenizeRequest(msgspec.Struct):
    tokens: list[int]
    model: str | None = None


def _vector(prompt: list[int], dimensions: int) -> list[float]:
    draw = random.Random(zlib.crc32(array("Q", prompt).tobytes())).gauss  # noqa: S311 -- made-up values
    values = [draw(0.0, 1.0) for _ in range(dimensions)]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


def embeddings(body: bytes, settings: SimulatorSettings) -> Pooling:
    request = msgspec.json.decode(body, type=EmbeddingRequest)
    prompts = prompts_of(request.input)
    dimensions = settings.embedding_dimensions if request.dimensions is None else request.dimensions
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise bad_request(f"dimensions must be 1 to {MAX_DIMENSIONS}, got {dimensions}.", "dimensions")
    if any(min(prompt, default=0) < 0 or max(prompt, default=0) >= 2**64 for prompt in prompts):
        raise bad_request("A token id is out of range.", "input")

    def write(id: str, created: int, model: str) -> bytes:
        data = []
        for index, prompt in enumerate(prompts):
            floats = _vector(prompt, dimensions)
            vector: object = floats
            if request.encoding_format == "base64":
                vector = base64.b64encode(array("f", floats).tobytes()).decode()
            data.append({"index": index, "object": "embedding", "embedding": vector})
        head = {"id": f"embd-{id}", "object": "list", "created": created, "model": model, "data": data}
        return msgspec.json.encode({**head, "usage": _usage(prompts)})

    return Pooling(request.model, prompts, write)


def _usage(prompts: list[list[int]]) -> dict[str, Any]:
    total = sum(map(len, prompts))
    return {"prompt_tokens": total, "total_tokens": total, "completion_tokens": 0, "prompt_tokens_details": None}


def _relevance(query: str, document: str) -> float:
    asked = {piece.strip().lower() for piece in tokens.split(query)} - {""}
    held = {piece.strip().lower() for piece in tokens.split(document)}
    return round(len(asked & held) / len(asked), 6) if asked else 0.0


def rerank(body: bytes, settings: SimulatorSettings) -> Pooling:
    request = msgspec.json.decode(body, type=RerankRequest)
    documents = [d if isinstance(d, str) else str(d.get("text", "")) for d in request.documents]
    prompts = [tokens.encode(request.query + "\n" + document) for document in documents]
    if not documents:
        raise bad_request("documents is empty.", "documents")

    def write(id: str, created: int, model: str) -> bytes:
        results: list[dict[str, Any]] = [
            {"index": index, "document": {"text": document}, "relevance_score": _relevance(request.query, document)}
            for index, document in enumerate(documents)
        ]
        results.sort(key=lambda result: -result["relevance_score"])
        results = results[: request.top_n] if request.top_n > 0 else results
        return msgspec.json.encode({"id": f"rerank-{id}", "model": model, "usage": _usage(prompts), "results": results})

    return Pooling(request.model, prompts, write)


def score(body: bytes, settings: SimulatorSettings) -> Pooling:
    request = msgspec.json.decode(body, type=ScoreRequest)
    queries, documents = request.queries or request.text_1, request.documents or request.text_2
    if not queries or not documents:
        raise bad_request("A score needs text_1 and text_2, or queries and documents.", "text_1")
    left = [queries] if isinstance(queries, str) else queries
    right = [documents] if isinstance(documents, str) else documents
    if len(left) == 1:
        left = left * len(right)
    if len(left) != len(right):
        raise bad_request(f"{len(left)} queries cannot be paired with {len(right)} documents.", "text_2")
    prompts = [tokens.encode(query + "\n" + document) for query, document in zip(left, right, strict=True)]

    def write(id: str, created: int, model: str) -> bytes:
        data = [
            {"index": index, "object": "score", "score": _relevance(query, document)}
            for index, (query, document) in enumerate(zip(left, right, strict=True))
        ]
        head = {"id": f"score-{id}", "object": "list", "created": created, "model": model}
        return msgspec.json.encode({**head, "data": data, "usage": _usage(prompts)})

    return Pooling(request.model, prompts, write)


def pooling(body: bytes, settings: SimulatorSettings) -> Pooling:
    """A vector for each token, as vLLM's `/pooling` has them without a pooler."""
    request = msgspec.json.decode(body, type=EmbeddingRequest)
    prompts = prompts_of(request.input)

    def write(id: str, created: int, model: str) -> bytes:
        data = [
            {
                "index": index,
                "object": "pooling",
                "data": [_vector([token], settings.embedding_dimensions) for token in prompt],
            }
            for index, prompt in enumerate(prompts)
        ]
        head = {"id": f"pool-{id}", "object": "list", "created": created, "model": model}
        return msgspec.json.encode({**head, "data": data, "usage": _usage(prompts)})

    return Pooling(request.model, prompts, write)


def classify(body: bytes, settings: SimulatorSettings) -> Pooling:
    """Two classes, by the parity of a checksum of the text."""
    request = msgspec.json.decode(body, type=EmbeddingRequest)
    prompts = prompts_of(request.input)

    def write(id: str, created: int, model: str) -> bytes:
        data = []
        for index, prompt in enumerate(prompts):
            second = zlib.crc32(msgspec.json.encode(prompt)) % 1000 / 1000
            label = f"LABEL_{int(second >= 0.5)}"
            data.append({"index": index, "label": label, "probs": [1 - second, second], "num_classes": 2})
        head = {"id": f"classify-{id}", "object": "list", "created": created, "model": model}
        return msgspec.json.encode({**head, "data": data, "usage": _usage(prompts)})

    return Pooling(request.model, prompts, write)


def tokenize(body: bytes, settings: SimulatorSettings) -> Pooling:
    request = msgspec.json.decode(body, type=TokenizeRequest)
    if (request.prompt is None) == (request.messages is None):
        raise bad_request("Give either prompt or messages.", "prompt")
    text = request.prompt if request.prompt is not None else chat.render(request.messages or [])
    ids = tokens.encode(text)
    answer = {
        "count": len(ids),
        "max_model_len": settings.max_model_len,
        "tokens": ids,
        "token_strs": tokens.split(text) if request.return_token_strs else None,
    }
    return Pooling(request.model, [], lambda id, created, model: msgspec.json.encode(answer))


def detokenize(body: bytes, settings: SimulatorSettings) -> Pooling:
    request = msgspec.json.decode(body, type=DetokenizeRequest)
    answer = {"prompt": tokens.decode(request.tokens)}
    return Pooling(request.model, [], lambda id, created, model: msgspec.json.encode(answer))
