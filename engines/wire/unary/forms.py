"""Who is asked for what in its own words: the rows of docs/providers.md's table of embeddings and rerank."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final

from engines.model import Operation
from engines.wire.unary import requests
from engines.wire.unary.bedrock import BedrockEmbeddings, BedrockRerank
from engines.wire.unary.cohere import CohereEmbeddings, CohereRerank
from engines.wire.unary.counts import COUNTS, count
from engines.wire.unary.gemini import GeminiEmbeddings, VertexEmbeddings
from engines.wire.unary.mistral import MistralEmbeddings
from engines.wire.unary.port import UnaryForm, UnaryRequest
from engines.wire.unary.vertex_ranking import VertexRerank

_EMBEDDINGS: Final[tuple[UnaryForm, ...]] = (
    BedrockEmbeddings(),
    CohereEmbeddings(),
    GeminiEmbeddings(),
    MistralEmbeddings(),
    VertexEmbeddings(),
)
_RERANK: Final[tuple[UnaryForm, ...]] = (BedrockRerank(), CohereRerank(), VertexRerank())
FORMS: Final[dict[Operation, dict[str, UnaryForm]]] = {
    Operation.EMBEDDINGS: {form.name: form for form in _EMBEDDINGS},
    Operation.COUNT_TOKENS: {form.name: form for form in COUNTS},
    Operation.RERANK: {form.name: form for form in _RERANK},
}
READERS: Final[dict[str, Callable[[bytes], Generator[int, None, UnaryRequest]]]] = {
    Operation.EMBEDDINGS.value: requests.embeddings,
    Operation.COUNT_TOKENS.value: count,
    Operation.RERANK.value: requests.rerank,
}
"""By the path of an operation, what reads its requests."""
