"""OpenAI's endpoints, headers and errors."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
from msgspec import UNSET

from engines.fakes.asked import Asked
from engines.fakes.call import Call, HeaderList
from engines.fakes.embedding import packed, vector
from engines.fakes.limits import Left
from engines.fakes.openai.chat import CREATED, ChatFormat
from engines.fakes.openai.completions import CompletionsFormat
from engines.fakes.openai.errors import ERRORS, error_body
from engines.fakes.openai.reading import read_chat, read_completion
from engines.fakes.openai.responses import ResponsesFormat
from engines.fakes.openai.responses_reading import read_count, read_responses
from engines.fakes.openai.shapes import EmbeddingCreate
from engines.fakes.problems import Kind, Problem
from engines.fakes.provider import Chat, Plain, Refusal

MODELS: Final = ("gpt-5.2", "gpt-5-mini", "text-embedding-3-small")
_EMBEDDINGS: Final = msgspec.json.Decoder(EmbeddingCreate)


def limit_headers(left: Left) -> HeaderList:
    """`x-ratelimit-*`, of requests and of tokens."""
    reset = left.reset.encode()
    return [
        (b"x-ratelimit-limit-requests", b"%d" % left.requests_limit),
        (b"x-ratelimit-limit-tokens", b"%d" % left.tokens_limit),
        (b"x-ratelimit-remaining-requests", b"%d" % left.requests),
        (b"x-ratelimit-remaining-tokens", b"%d" % left.tokens),
        (b"x-ratelimit-reset-requests", reset),
        (b"x-ratelimit-reset-tokens", reset),
    ]


class OpenAI:
    """Implements `engines.fakes.provider.Provider`."""

    name = "openai"

    def key(self, call: Call) -> str:
        if not call.bearer:
            raise Problem(Kind.UNAUTHENTICATED, "You didn't provide an API key.")
        return call.bearer

    def route(self, call: Call) -> Chat | Plain:
        match call.method, call.path:
            case "POST", "/v1/chat/completions":
                return Chat(ChatFormat(), _chat)
            case "POST", "/v1/responses":
                return Chat(ResponsesFormat(), _responses)
            case "POST", "/v1/responses/input_tokens":
                return Plain(_count)
            case "POST", "/v1/completions":
                return Chat(CompletionsFormat(), _completion)
            case "POST", "/v1/embeddings":
                return Plain(embeddings)
            case "GET", "/v1/models":
                return Plain(_models)
        raise Problem(Kind.NOT_FOUND, f"Invalid URL ({call.method} {call.path})")

    def refusal(self, problem: Problem, number: int) -> Refusal:
        headers: HeaderList = [(b"x-request-id", b"req_fake%06d" % number)]
        if problem.retry_after_s is not None:
            headers += [
                (b"retry-after", b"%d" % max(round(problem.retry_after_s), 1)),
                (b"retry-after-ms", b"%d" % round(problem.retry_after_s * 1000)),
            ]
        return Refusal(ERRORS[problem.kind][0], error_body(problem), headers)

    def headers(self, number: int, left: Left) -> HeaderList:
        return [
            (b"x-request-id", b"req_fake%06d" % number),
            (b"openai-version", b"2020-10-01"),
            (b"openai-processing-ms", b"1"),
            *limit_headers(left),
        ]


def _chat(call: Call) -> Asked:
    return read_chat(call.body)


def _completion(call: Call) -> Asked:
    return read_completion(call.body)


def _responses(call: Call) -> Asked:
    return read_responses(call.body)


def _count(call: Call) -> tuple[str, Any]:
    model = read_count(call.body)
    return model, {"object": "response.input_tokens", "input_tokens": math.ceil(len(call.body) / 4)}


def embeddings(call: Call) -> tuple[str, Any]:
    """OpenAI's embeddings; Azure has the same."""
    request = _EMBEDDINGS.decode(call.body)
    inputs = request.input
    if isinstance(inputs, list) and isinstance(inputs[0], int):
        inputs = [inputs]
    texts = (
        [inputs]
        if isinstance(inputs, str)
        else [one if isinstance(one, str) else " ".join(map(str, one)) for one in inputs]
    )
    dimensions = 1536 if request.dimensions is UNSET else request.dimensions
    vectors = [vector(text, dimensions) for text in texts]
    data = [
        {"object": "embedding", "index": at, "embedding": packed(one) if request.encoding_format == "base64" else one}
        for at, one in enumerate(vectors)
    ]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return request.model, {"object": "list", "data": data, "model": request.model, "usage": usage}


def _models(call: Call) -> tuple[str, Any]:
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "openai"} for name in MODELS]
    return "", {"object": "list", "data": data}
