"""Gemini's endpoints and errors: the Gemini API's with a key, and Vertex AI's with a token of a service account."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from engines.fakes.asked import Asked
from engines.fakes.call import Call, HeaderList
from engines.fakes.embedding import likeness, vector
from engines.fakes.gemini import shapes
from engines.fakes.gemini.reading import read, read_generate
from engines.fakes.gemini.writing import ERRORS, GeminiFormat, error_body
from engines.fakes.limits import Left
from engines.fakes.problems import Kind, Problem, invalid
from engines.fakes.provider import Chat, Plain, Refusal

MODELS: Final = ("gemini-3-pro", "gemini-3-flash", "gemini-embedding-001")
_DEVELOPER: Final = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]+):(\w+)")
_VERTEX: Final = re.compile(
    r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/]+/)?publishers/google/models/([^/:]+):(\w+)"
)


_RANKING: Final = re.compile(r"/v1/projects/[^/]+/locations/[^/]+/rankingConfigs/default_ranking_config:rank")


class Gemini:
    """Implements `engines.fakes.provider.Provider`."""

    name = "gemini"

    def key(self, call: Call) -> str:
        googles = _VERTEX.match(call.path) or _RANKING.match(call.path)
        key = call.bearer if googles else call.header("x-goog-api-key") or call.query.get("key", "")
        if not key:
            raise Problem(Kind.FORBIDDEN, "Method doesn't allow unregistered callers. Please use API Key.")
        return key

    def route(self, call: Call) -> Chat | Plain:
        if call.method == "GET" and call.path == "/v1beta/models":
            return Plain(_models)
        if call.method == "POST" and _RANKING.fullmatch(call.path):
            return Plain(_rank)
        found = _DEVELOPER.fullmatch(call.path) or _VERTEX.fullmatch(call.path)
        if call.method != "POST" or found is None:
            raise Problem(Kind.NOT_FOUND, "Not found.")
        model, method = found[1], found[2]
        match method:
            case "generateContent":
                return Chat(GeminiFormat(), lambda call: read_generate(call.body, model, stream=False), True)
            case "streamGenerateContent":
                return Chat(GeminiFormat(), lambda call: _stream(call, model), True)
            case "countTokens":
                return Plain(lambda call: (model, _count(call)))
            case "embedContent":
                return Plain(lambda call: (model, {"embedding": _embedding(read(call.body, shapes.EmbedRequest))}))
            case "predict" if _VERTEX.match(call.path):
                return Plain(lambda call: (model, _predict(call)))
            case "batchEmbedContents":
                return Plain(lambda call: (model, _batch(call)))
        raise Problem(Kind.NOT_FOUND, f"models/{model} is not found for {method}.")

    def refusal(self, problem: Problem, number: int) -> Refusal:
        return Refusal(ERRORS[problem.kind][0], error_body(problem), _timing())

    def headers(self, number: int, left: Left) -> HeaderList:
        return _timing()


def _timing() -> HeaderList:
    return [(b"server-timing", b"gfet4t7; dur=1")]


def _stream(call: Call, model: str) -> Asked:
    if call.query.get("alt") != "sse":
        raise invalid("this fake streams with alt=sse alone")
    return read_generate(call.body, model, stream=True)


def _count(call: Call) -> Any:
    within = read(call.body, shapes.CountTokens).generate_content_request
    if within is not None:
        request = dict(within)
        if not str(request.pop("model", "")).startswith("models/"):
            raise invalid("generate_content_request.model is required", "generate_content_request.model")
        read(msgspec.json.encode(request), shapes.Generate)
    return {"totalTokens": math.ceil(len(call.body) / 4)}


def _embedding(request: shapes.EmbedRequest) -> dict[str, Any]:
    config = request.embed_content_config or {}
    size = request.output_dimensionality or config.get("outputDimensionality") or 768
    text = " ".join(part.text or "" for part in request.content.parts)
    return {"values": vector(text, int(size))}


def _predict(call: Call) -> Any:
    request = read(call.body, shapes.Predict)
    size = (request.parameters or shapes.PredictParameters()).output_dimensionality or 768
    told = [
        {
            "values": vector(one.content, size),
            "statistics": {"truncated": False, "token_count": len(one.content.split())},
        }
        for one in request.instances
    ]
    return {"predictions": [{"embeddings": one} for one in told], "metadata": {"billableCharacterCount": 1}}


def _batch(call: Call) -> Any:
    return {"embeddings": [_embedding(request) for request in read(call.body, shapes.BatchEmbed).requests]}


def _rank(call: Call) -> tuple[str, Any]:
    request = read(call.body, shapes.Rank)
    for at, one in enumerate(request.records):
        if not one.title and not one.content:
            raise invalid(f"records[{at}]: at least one of title or content should be set", f"records[{at}]")
    scored = [(likeness(request.query, f"{one.title} {one.content}"), -at) for at, one in enumerate(request.records)]
    best = sorted(scored, reverse=True)[: request.top_n if request.top_n > 0 else None]
    records = []
    for score, at in best:
        record = request.records[-at]
        told = not request.ignore_record_details_in_response
        details = {"title": record.title, "content": record.content} if told else {}
        records.append({"id": record.id, **details, "score": round(score, 2)})
    return request.model, {"records": records}


def _models(call: Call) -> tuple[str, Any]:
    able = ["generateContent", "countTokens"]
    return "", {"models": [{"name": f"models/{name}", "supportedGenerationMethods": able} for name in MODELS]}
