"""What a model is for, by its name: no provider's list of models says it of all, and none is asked for every target."""

from __future__ import annotations

import re
from typing import Final

from engines.model import Operation

_RANKS: Final = re.compile(r"rerank|(?:^|[/._-])ranker").search
_EMBEDS: Final = re.compile(r"embed|(?:^|[/._-])(?:bge|e5|gte|voyage)[-_]").search
"""`text-embedding-3-small`, `gemini-embedding-001`, `embed-v4.0`, `amazon.titan-embed-text-v2:0`, `mistral-embed`; and
the families of open models that do not say it."""


def sort_of(model: str) -> Operation:
    """EMBEDDINGS or RERANK where its name says so, else CHAT."""
    name = model.lower()
    if _RANKS(name):
        return Operation.RERANK
    return Operation.EMBEDDINGS if _EMBEDS(name) else Operation.CHAT
