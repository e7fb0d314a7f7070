"""The port: what a request asks for, and how one provider is asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from engines.model import Usage
from engines.wire.dialect import Dialect
from engines.wire.request import ChatRequest


class EmbeddingsRequest(msgspec.Struct):
    """None is what the client did not say."""

    inputs: list[str]
    packed: bool
    """Whether vectors are wanted as base64 of little-endian floats of four bytes."""
    names: dict[str, str]
    """What it asks for, by the names of `engines.wire.features`, and what the client calls each."""
    dimensions: int | None = None
    user: str = ""
    extensions: dict[str, Any] = {}
    """Members that are not OpenAI's, as they came."""


class RerankRequest(msgspec.Struct):
    query: str
    documents: list[str]
    names: dict[str, str]
    most: int | None = None
    """Of the results, the best first (`top_n`)."""
    with_documents: bool = True
    extensions: dict[str, Any] = {}


class CountRequest(msgspec.Struct):
    chat: ChatRequest
    """What is to be counted."""
    names: dict[str, str]


UnaryRequest = EmbeddingsRequest | RerankRequest | CountRequest


def pieces(request: UnaryRequest) -> int:
    """How many things an answer has one of each for."""
    if isinstance(request, EmbeddingsRequest):
        return len(request.inputs)
    return len(request.documents) if isinstance(request, RerankRequest) else 0


class Told(msgspec.Struct):
    """An answer as its client is told it."""

    parts: Iterator[bytes]
    """The body, made as it is asked for: a part is a vector at most, where there are any. Raises Misread."""
    usage: Usage
    """As the engine reported it; else estimated."""


class Misread(ValueError):
    """The engine's answer is none of its format; the message says why."""


class UnaryForm(Protocol):
    """How one provider is asked for one operation."""

    @property
    def name(self) -> str: ...

    @property
    def dialect(self) -> Dialect:
        """How its errors are read."""

    def takes(self, model: str) -> frozenset[str]:
        """What this model has a word for; empty for a model that is none for the operation."""

    def path(self, model: str, request: UnaryRequest) -> str:
        """Where it is asked, as `engines.port.Outgoing.path`."""

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        """The body. `takes`: what the target takes; all else is left out. Raises `engines.wire.request.Unreadable` for
        what cannot be said at all."""

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        """Looks through all of it (2 ms a MiB), and reads no vector yet. Raises Misread."""
