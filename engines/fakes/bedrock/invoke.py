"""InvokeModel of the models that embed and rerank: each maker's own bodies.

Source: docs.aws.amazon.com, "Inference request parameters", of Titan Embeddings, Cohere Embed and Cohere Rerank.
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
_EMBED: Final = msgspec.json.Decoder(CohereEmbed)
_RERANK: Final = msgspec.json.Decoder(Rerank)


def invoke(call: Call, model: str) -> tuple[str, Any]:
    """What the model answers. Raises Problem for one that is not known."""
    if "titan-embed-text" in model:
        asked = _TITAN.decode(call.body)
        count = len(asked.input_text.split())
        return model, {"embedding": vector(asked.input_text, asked.dimensions), "inputTextTokenCount": count}
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
