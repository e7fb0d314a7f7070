"""Cohere, asked in its own format, v2."""

from __future__ import annotations

from typing import ClassVar, Literal

from engines.kinds.hosted import HostedEngine
from engines.model import Operation


class CohereEngine(HostedEngine):
    """Cohere, asked in its own format, v2."""

    row: ClassVar[str] = "cohere"
    kind: Literal["cohere"]

    usual_url: ClassVar[str] = "https://api.cohere.com"
    key_env: ClassVar[str] = "COHERE_API_KEY"

    @property
    def chats_as(self) -> str:
        return "cohere"

    @property
    def unary_as(self) -> tuple[tuple[Operation, str], ...]:
        return ((Operation.EMBEDDINGS, "cohere"), (Operation.RERANK, "cohere"))

    @property
    def price_provider(self) -> str:
        return "cohere"
