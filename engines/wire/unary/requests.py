"""Requests as clients send them: of embeddings OpenAI's (openai types/embedding_create_params.py), of rerank Jina's."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from engines.wire.bulk import MAX_DOCUMENTS, MAX_TEXTS
from engines.wire.reading import Members, expected, members_in_turns
from engines.wire.request import Unreadable
from engines.wire.unary.port import EmbeddingsRequest, RerankRequest

DOCUMENTS_AT_ONCE: Final = 1024
"""Each takes an eighth of what an element of a chat takes."""


def embeddings(body: bytes) -> Generator[int, None, EmbeddingsRequest]:
    """See `engines.wire.bulk` for the turns. Raises Unreadable."""
    members = Members((yield from members_in_turns(body)))
    members.need("model", str)
    names = {"embeddings": "embeddings"}
    inputs = _inputs(members.any("input"), names)
    if len(inputs) > 1:
        names["several_inputs"] = "input"
    form = members.text("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise Unreadable("`encoding_format` should be float or base64", "encoding_format")
    dimensions = members.take("dimensions", int)
    if dimensions is not None:
        names["dimensions"] = "dimensions"
    user = members.text("user")
    if user:
        names["user"] = "user"
    return EmbeddingsRequest(inputs, form == "base64", names, dimensions, user, _others(members, names))


def rerank(body: bytes) -> Generator[int, None, RerankRequest]:
    """See `engines.wire.bulk` for the turns. Raises Unreadable."""
    members = Members((yield from members_in_turns(body)))
    members.need("model", str)
    query = members.need("query", str)
    given = members.need("documents", list)
    if len(given) > MAX_DOCUMENTS:
        raise Unreadable(f"over {MAX_DOCUMENTS} documents are not translated", "documents")
    documents: list[str] = []
    for at, one in enumerate(given):
        documents.append(one if isinstance(one, str) else _document(one, at))
        if at % DOCUMENTS_AT_ONCE == 0:
            yield DOCUMENTS_AT_ONCE // 8
    most = members.take("top_n", int)
    whole = members.take("return_documents", bool)
    names = {"rerank": "rerank"}
    return RerankRequest(query, documents, names, most, whole is not False, _others(members, names))


def _inputs(given: object, names: dict[str, str]) -> list[str]:
    if isinstance(given, str):
        return [given]
    if given is None:
        raise Unreadable("`input` is missing", "input")
    inputs = expected(given, list, "input")
    if not inputs:
        raise Unreadable("`input` should have at least one text", "input")
    if all(isinstance(one, int) for one in inputs):
        names["encoded_inputs"] = "input"
        return [""]
    if all(isinstance(one, list) for one in inputs):
        names["encoded_inputs"] = "input"
        return [""] * len(inputs)
    if len(inputs) > MAX_TEXTS:
        raise Unreadable(f"over {MAX_TEXTS} texts are not translated", "input")
    return [one if isinstance(one, str) else expected(one, str, f"input[{at}]") for at, one in enumerate(inputs)]


def _document(one: object, at: int) -> str:
    if isinstance(one, dict):
        text = one.get("text")
        if isinstance(text, str):
            return text
        return Members(one, f"documents[{at}]").need("text", str)
    return expected(one, str, f"documents[{at}]")


def _others(members: Members, names: dict[str, str]) -> dict[str, Any]:
    """What is left, each a parameter by its name. An empty text, list or object asks for nothing, 0 and false do."""
    left = {name: value for name, value in members.left.items() if value or isinstance(value, int | float)}
    names.update({name: name for name in left})
    return left
