"""InvokeModel of the models that embed and rerank: each maker's own bodies.

Source: docs.aws.amazon.com, "Inference request parameters", of Titan Embeddings, Cohere Embed and Cohere Rerank, and
"Complete embeddings request and response schema" of Nova.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from engines.fakes.call import Call
from engines.fakes.embedding import likeness, vector
from engines.fakes.problems import Kind, Problem, invalid


class Titan(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    input_text: Annotated[str, Meta(min_length=1)]
    dimensions: Literal[256, 512, 1024] = 1024
    normalize: bool = True
    embedding_types: list[Literal["float", "binary"]] | None = None


class NovaText(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    truncation_mode: Literal["START", "END", "NONE"]
    value: Annotated[str, Meta(min_length=1, max_length=8192)]


class NovaParams(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Of texts alone."""

    embedding_purpose: Literal[
        "GENERIC_INDEX",
        "GENERIC_RETRIEVAL",
        "TEXT_RETRIEVAL",
        "IMAGE_RETRIEVAL",
        "VIDEO_RETRIEVAL",
        "DOCUMENT_RETRIEVAL",
        "AUDIO_RETRIEVAL",
        "CLASSIFICATION",
        "CLUSTERING",
    ]
    text: NovaText
    embedding_dimension: Literal[256, 384, 1024, 3072] = 3072


class Nova(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    task_type: Literal["SINGLE_EMBEDDING"]
    single_embedding_params: NovaParams
    schema_version: Literal["nova-multimodal-embed-v1"] = "nova-multimodal-embed-v1"


class CohereEmbed(msgspec.Struct, forbid_unknown_fields=True):
    input_type: Literal["search_document", "search_query", "classification", "clustering"]
    texts: Annotated[list[str], Meta(min_length=1, max_length=96)]
    truncate: Literal["NONE", "START", "LEFT", "END", "RIGHT"] | None = None
    embedding_types: list[Literal["float", "int8", "uint8", "binary", "ubinary"]] | None = None
    output_dimension: Literal[256, 512, 1024, 1536] | None = None


class Rerank(msgspec.Struct, forbid_unknown_fields=True):
    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[str], Meta(min_length=1, max_length=1000)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    api_version: int | None = None


_TITAN: Final = msgspec.json.Decoder(Titan)
_NOVA: Final = msgspec.json.Decoder(Nova)
_EMBED: Final = msgspec.json.Decoder(CohereEmbed)
_RERANK: Final = msgspec.json.Decoder(Rerank)


def invoke(call: Call, model: str) -> tuple[str, Any]:
    """What the model answers. Raises Problem for one that is not known."""
    if "titan-embed-text" in model:
        asked = _TITAN.decode(call.body)
        count = len(asked.input_text.split())
        return model, {"embedding": vector(asked.input_text, asked.dimensions), "inputTextTokenCount": count}
    if "nova-2-multimodal-embeddings" in model:
        params = _NOVA.decode(call.body).single_embedding_params
        made = vector(params.text.value, params.embedding_dimension)
        return model, {"embeddings": [{"embeddingType": "TEXT", "embedding": made}]}
    if "cohere.embed" in model:
        return model, _embed(_EMBED.decode(call.body))
    if "cohere.rerank" in model or "amazon.rerank" in model:
        return model, _rerank(_RERANK.decode(call.body), cohere="cohere." in model)
    raise Problem(Kind.NOT_FOUND, "The provided model identifier is invalid.")


def _embed(asked: CohereEmbed) -> Any:
    vectors = [vector(text, asked.output_dimension or 1024) for text in asked.texts]
    if asked.embedding_types is None:
        return {"id": "fake", "texts": asked.texts, "embeddings": vectors, "response_type": "embeddings_floats"}
    if asked.embedding_types != ["float"]:
        raise invalid("this fake writes float")
    return {"id": "fake", "embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}


def _rerank(asked: Rerank, *, cohere: bool) -> Any:
    if cohere and asked.api_version != 2:
        raise invalid("api_version should be 2")
    scored = [(likeness(asked.query, document), -at) for at, document in enumerate(asked.documents)]
    best = sorted(scored, reverse=True)[: asked.top_n]
    return {"results": [{"index": -at, "relevance_score": round(score, 6)} for score, at in best]}
