"""`/admin/v1/routing/explain`: why requests of a model go where they go, and where the last ones went.

    GET   ?model=chat[&prompt_tokens=1000][&max_tokens=256][&session=ID][&operation=/v1/chat/completions][&arm=canary]
    POST  ?model=chat    with a request's own body: then what caches hold of its prompt counts, too

Each worker decides by itself, so each is asked. From the first question on, decisions of the model are recorded for a
minute.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Failure
from gateway.explanation.views import AskRouting, Explained

PATH: Final = "/admin/v1/routing/explain"
MOST_TOKENS: Final = 100_000_000


class Explains(Protocol):
    """Who knows the workers."""

    async def explain(self, question: AskRouting) -> Mapping[str, Explained]:
        """What each worker says, by its name."""


def routing_routes(gateway: Explains) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler of each endpoint."""

    async def explained(request: Request) -> Response:
        asked = request.query_params
        model = asked.get("model", "")
        if not model:
            raise Failure("invalid_field", f"`model` is missing: {PATH}?model=NAME", "model")
        question = AskRouting(
            model,
            asked.get("operation", ""),
            _count(asked, "prompt_tokens", 1000) or 0,
            _count(asked, "max_tokens", None),
            asked.get("session", ""),
            await request.body() if request.method == "POST" else b"",
            asked.get("arm", ""),
        )
        answers = await gateway.explain(question)
        told = list(answers.values())
        if told and all(one.problem for one in told):
            raise Failure("invalid_field", told[0].problem, "model")
        workers = [{"worker": worker, **msgspec.to_builtins(answer)} for worker, answer in answers.items()]
        for one in workers:
            one.pop("type", None)
        document = {"object": "routing.explanation", "model": model, "workers": workers}
        return Response(msgspec.json.encode(document), media_type="application/json")

    return [("GET", PATH, explained), ("POST", PATH, explained)]


def _count(asked: Mapping[str, str], name: str, default: int | None) -> int | None:
    """A whole number of the query. Raises Failure for anything else."""
    text = asked.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > MOST_TOKENS:
        raise Failure("invalid_field", f"`{name}` must be a whole number from 0 to {MOST_TOKENS}", name)
    return int(text)
