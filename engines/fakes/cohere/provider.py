"""Cohere's endpoints and errors, and what a chat asks for."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engines.fakes.asked import Asked, Tool
from engines.fakes.call import Call, HeaderList
from engines.fakes.cohere import shapes
from engines.fakes.cohere.writing import CohereFormat
from engines.fakes.embedding import likeness, packed, vector
from engines.fakes.limits import Left
from engines.fakes.problems import Kind, Problem, invalid
from engines.fakes.provider import Chat, Plain, Refusal

STATUSES: Final = {
    Kind.INVALID: 422,
    Kind.TOO_LONG: 400,
    Kind.BLOCKED: 498,
    Kind.UNAUTHENTICATED: 401,
    Kind.NO_MONEY: 402,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.TOO_LARGE: 413,
    Kind.RATE_LIMITED: 429,
    Kind.FAILED: 500,
    Kind.OVERLOADED: 503,
    Kind.TIMED_OUT: 504,
}
_CHAT: Final = msgspec.json.Decoder(shapes.ChatCreate)
_EMBED: Final = msgspec.json.Decoder(shapes.EmbedCreate)
_RERANK: Final = msgspec.json.Decoder(shapes.RerankCreate)


class Cohere:
    """Implements `engines.fakes.provider.Provider`."""

    name = "cohere"

    def key(self, call: Call) -> str:
        if not call.bearer:
            raise Problem(Kind.UNAUTHENTICATED, "no api key supplied")
        return call.bearer

    def route(self, call: Call) -> Chat | Plain:
        match call.method, call.path:
            case "POST", "/v2/chat":
                return Chat(CohereFormat(), _read)
            case "POST", "/v2/embed":
                return Plain(_embed)
            case "POST", "/v2/rerank":
                return Plain(_rerank)
            case "GET", "/v1/models":
                return Plain(_models)
        raise Problem(Kind.NOT_FOUND, "404 page not found")

    def refusal(self, problem: Problem, number: int) -> Refusal:
        body = {"id": f"fake-{number:06d}", "message": str(problem)}
        headers = self.headers(number, None)
        if problem.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % max(round(problem.retry_after_s), 1)))
        return Refusal(STATUSES[problem.kind], body, headers)

    def headers(self, number: int, left: Left | None) -> HeaderList:
        return [(b"x-debug-trace-id", b"fake-%06d" % number)]


def _texts(content: object) -> str:
    if isinstance(content, str):
        return content
    said = []
    for one in content if isinstance(content, list) else []:
        if isinstance(one, shapes.Text):
            said.append(one.text)
        elif isinstance(one, shapes.Document):
            data = one.document.data
            said.append(data if isinstance(data, str) else msgspec.json.encode(data).decode())
    return "\n".join(said)


def _read(call: Call) -> Asked:
    request = _CHAT.decode(call.body)
    calls: set[str] = set()
    for at, message in enumerate(request.messages):
        if isinstance(message, shapes.AssistantMessage):
            calls = {one.id for one in message.tool_calls or ()}
        elif isinstance(message, shapes.ToolMessage):
            if message.tool_call_id not in calls:
                raise invalid(f"invalid tool message at messages[{at}]: tool call id not found in previous tool calls")
            calls.discard(message.tool_call_id)
        elif calls:
            raise invalid(f"invalid message at messages[{at}]: tool calls of the message before are not answered")
    if request.tool_choice is not None and not request.tools:
        raise invalid("tool_choice requires tools", "tool_choice")
    form = request.response_format
    if isinstance(form, shapes.JsonFormat) and request.tools:
        raise invalid("response_format of json_object is not supported with tools", "response_format")
    users = [message for message in request.messages if isinstance(message, shapes.UserMessage)]
    content = users[-1].content if users else ""
    results = []
    for message in reversed(request.messages):
        if not isinstance(message, shapes.ToolMessage):
            break
        results.append(_texts(message.content))
    choices = {None: "auto", "REQUIRED": "required", "NONE": "none"}
    return Asked(
        model=request.model,
        stream=request.stream,
        text=_texts(content),
        cacheable=" ".join(msgspec.json.encode(message).decode() for message in request.messages[:-1]),
        tools=tuple(Tool(tool.function.name, tool.function.parameters) for tool in request.tools or ()),
        tool_choice=choices[request.tool_choice],
        results=tuple(results[::-1]),
        images=sum(isinstance(one, shapes.Image) for one in content) if isinstance(content, list) else 0,
        schema=(form.json_schema or {}) if isinstance(form, shapes.JsonFormat) else None,
        reasoning=request.thinking is not None and request.thinking.type == "enabled",
        max_tokens=request.max_tokens,
        stop=tuple(request.stop_sequences or ()),
    )


def _embed(call: Call) -> tuple[str, Any]:
    request = _EMBED.decode(call.body)
    if request.texts is None:
        raise invalid("this fake embeds texts only", "texts")
    kinds = request.embedding_types or ["float"]
    vectors = [vector(text, request.output_dimension or 1024) for text in request.texts]
    embeddings: dict[str, Any] = {}
    for kind in kinds:
        if kind == "float":
            embeddings["float"] = vectors
        elif kind == "base64":
            embeddings["base64"] = [packed(one) for one in vectors]
        else:
            raise invalid(f"this fake writes float and base64, not {kind}", "embedding_types")
    tokens = float(sum(len(text.split()) for text in request.texts))
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
    answer = {"id": "fake", "texts": request.texts, "embeddings": embeddings, "meta": meta}
    return request.model, {**answer, "response_type": "embeddings_by_type"}


def _rerank(call: Call) -> tuple[str, Any]:
    request = _RERANK.decode(call.body)
    scored = [(likeness(request.query, document), -at) for at, document in enumerate(request.documents)]
    best = sorted(scored, reverse=True)[: request.top_n]
    results = [{"index": -at, "relevance_score": round(score, 6)} for score, at in best]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1.0}}
    return request.model, {"id": "fake", "results": results, "meta": meta}


def _models(call: Call) -> tuple[str, Any]:
    names = {"command-a-03-2026": ["chat"], "embed-v4.0": ["embed"], "rerank-v4.0": ["rerank"]}
    return "", {"models": [{"name": name, "endpoints": endpoints} for name, endpoints in names.items()]}
