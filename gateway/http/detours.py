"""Paths that clients ask by mistake or by another's convention, off the path of those that are asked as they should be.

What can only mean one thing is served: a trailing or doubled slash, and Azure's way, which names the model in the path.
What comes of a wrong base URL is refused with the right one, or its owner would never learn of it.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final, NamedTuple
from urllib.parse import unquote

from engines.model import Operation
from engines.operations import PATHS, SHAPES

_AZURE: Final = re.compile(r"/openai/deployments/([^/]+)(/.+)")
_AZURE_V1: Final = "/openai/v1/"
_AZURE_BARE: Final = re.compile(r"/openai(/responses(?:/.*)?)")
"""What Azure's clients ask outside of `/deployments/` in the way without v1; the models are `gateway.api.app`'s."""
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}").fullmatch
_SAME: Final = {
    "/rerank": "/v1/rerank",
    "/v2/rerank": "/v1/rerank",
    "/score": "/v1/score",
    "/v1/pooling": "/pooling",
    "/v1/classify": "/classify",
}
"""Other paths of one thing: of Cohere's clients (v2), Jina's and vLLM's own, and with /v1 what vLLM has without."""
_MOST_LETTERS: Final = 64
"""A longer path was not mistyped; to compare one takes its length squared."""
_OPERATION: Final = re.compile(
    r"/(chat/completions|completions|embeddings|responses|messages|rerank|score|models|audio/[a-z]+)(?=/|$)"
)
_ELSEWHERE: Final = re.compile(
    r"/(?:api|openai|V1)(?:/v1)?/(?:chat/completions|completions|embeddings|responses|models)$"
)
"""Where other gateways have it, in whose place this one was put."""
_ANTHROPICS: Final = re.compile(r"/v1/messages(/count_tokens|/batches)?$")


class Detour(NamedTuple):
    """Where a path leads."""

    operation: Operation
    path: bytes
    """As the operation spells it, its places filled."""
    model: str = ""
    """The one that the path names; empty where it names none."""


def detour(path: bytes) -> Detour | None:
    """What a path that is no operation's means all the same; None where it means none."""
    text = path.decode("latin-1").removesuffix("/")
    model = ""
    if found := _AZURE.fullmatch(text):  # before anything else: an empty name is no doubled slash
        model, text = unquote(found[1]), f"/v1{found[2]}"
    else:
        text = re.sub("/{2,}", "/", text)
    if text.startswith(_AZURE_V1):
        text = text.removeprefix("/openai")
    elif found := _AZURE_BARE.fullmatch(text):
        text = f"/v1{found[1]}"
    text = _SAME.get(text, text)
    mended = text.encode("latin-1")
    operation = PATHS.get(mended)
    return None if operation is None else Detour(operation, mended, model)


def like(path: str) -> str:
    """The path that a mistyped one is most like; empty where it is like none."""
    if len(path) > _MOST_LETTERS:
        return ""
    known = [shape.path for shape in SHAPES.values() if "{" not in shape.path]
    return next(iter(get_close_matches(path, [*known, "/v1/models"], 1, 0.85)), "")


def root_url(host: str, scheme: str) -> str:
    """Where the gateway was asked, as far as its Host says so."""
    return f"{scheme}://{host if _HOST(host) else 'HOST:PORT'}"


def right_base_url(path: str, host: str, scheme: str = "http") -> str:
    """What to say of a path that comes of a wrong base URL, in one sentence; empty where it comes of something else."""
    root = root_url(host, scheme)
    base = f"{root}/v1"
    text = re.sub("/{2,}", "/", path).removesuffix("/")
    if text in ("/v1", "/openai/v1"):
        return f"this is the base URL for OpenAI's clients ({base}); clients of Anthropic's take {root}"
    if not _OPERATION.search(text):
        return ""
    if _ANTHROPICS.search(text):  # what their clients add; the rest is the base URL
        if text.startswith("/v1/v1/"):
            return f"the base URL has /v1 at its end, which Anthropic's clients add themselves: it should be {root}"
        if len(_OPERATION.findall(text)) > 1:
            return f"the base URL holds the path of a request: for Anthropic's clients it should be {root}"
    if text.startswith("/v1/v1/"):
        return f"the base URL has /v1 twice: it should be {base}"
    if _OPERATION.match(text):
        return f"the base URL lacks /v1: it should be {base}"
    if len(_OPERATION.findall(text)) > 1:
        return f"the base URL holds the path of a request: it should be {base}"
    if _ELSEWHERE.match(text):
        return f"the base URL should be {base}"
    return ""
