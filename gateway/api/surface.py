"""What there is to ask, as data: `/openapi.json` and `/docs` are two views of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from engines.model import Operation
from engines.operations import SHAPES

_HELLO: Final = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True, slots=True)
class ApiMethod:
    """One method of one path."""

    method: str
    path: str
    group: str
    summary: str
    example: dict[str, Any] | None = None
    """A body that works but for the model's name, None where there is none; of a form, its fields (`@`: a file's)."""
    body: str = "none"
    """`json`, `multipart` or `none`."""
    needs_key: bool = True
    """Where the gateway has keys."""
    query: tuple[str, ...] = ()
    """What its query must say; what else it may say stands in the documents."""


class Served(NamedTuple):
    """What of all this the port of clients serves, by the configuration in use."""

    keyed: bool
    """Whether there are keys."""
    metrics: str
    """Who may read them here, as `server.metrics` says: `open`, `key` or `off`."""
    admin: bool
    """Whether the admin API is here, and not at `admin.listen`."""


INFERENCE: Final[dict[Operation, tuple[str, dict[str, Any] | None]]] = {
    Operation.CHAT: ("A chat, plain or streamed, in OpenAI's format", {"model": "chat", "messages": _HELLO}),
    Operation.COMPLETIONS: ("Go on with a text", {"model": "chat", "prompt": "Once upon a time", "max_tokens": 32}),
    Operation.EMBEDDINGS: ("Vectors of texts", {"model": "embed", "input": ["a text"]}),
    Operation.RESPONSES: ("OpenAI's Responses", {"model": "chat", "input": "Hello"}),
    Operation.RESPONSE: ("Read or delete a stored response", None),
    Operation.RESPONSE_CANCEL: ("Cancel a response that runs in the background", None),
    Operation.MESSAGES: (
        "A chat in Anthropic's format",
        {"model": "chat", "max_tokens": 64, "messages": _HELLO},
    ),
    Operation.COUNT_TOKENS: ("How many tokens a message would be", {"model": "chat", "messages": _HELLO}),
    Operation.RERANK: (
        "Order documents by a query",
        {"model": "rerank", "query": "water", "documents": ["a river", "a stone"]},
    ),
    Operation.SCORE: ("How alike texts are", {"model": "rerank", "text_1": "water", "text_2": ["a river"]}),
    Operation.POOLING: ("Hidden states of a text (vLLM)", {"model": "embed", "input": "a text"}),
    Operation.CLASSIFY: ("Classes of texts (vLLM)", {"model": "classify", "input": ["a text"]}),
    Operation.TOKENIZE: ("The tokens of a text (vLLM)", {"model": "chat", "prompt": "Hello"}),
    Operation.DETOKENIZE: ("The text of tokens (vLLM)", {"model": "chat", "tokens": [1, 2, 3]}),
    Operation.TRANSCRIPTIONS: (
        "What a sound file says, plain or streamed",
        {"model": "transcribe", "file": "@speech.wav"},
    ),
    Operation.TRANSLATIONS: ("The same in English", {"model": "transcribe", "file": "@speech.wav"}),
    Operation.SPEECH: ("A text, spoken", {"model": "speech", "input": "Hello", "voice": "alloy"}),
    Operation.IMAGES: ("Pictures of what a text says", {"model": "image", "prompt": "a penstock at dawn"}),
    Operation.IMAGE_EDITS: (
        "Pictures made of others",
        {"model": "image", "image": "@dawn.png", "prompt": "the same at dusk"},
    ),
}
"""By operation, what it is for and an example."""

OTHERS: Final = (
    ApiMethod("GET", "/v1/models", "Models", "The models that this key may use"),
    ApiMethod("GET", "/v1/models/{model}", "Models", "One of them"),
    ApiMethod(
        "POST",
        "/v1/feedback",
        "Feedback",
        "What became of an answer: experiments hear of it",
        {"record_id": "RECORD_ID", "metric": "thumbs_up", "value": True},
        "json",
    ),
    ApiMethod("GET", "/", "This gateway", "What this is: a page in a browser, else JSON", needs_key=False),
    ApiMethod("GET", "/docs", "This gateway", "This page", needs_key=False),
    ApiMethod("GET", "/docs/{guide}", "This gateway", "A guide, such as clients.md", needs_key=False),
    ApiMethod("GET", "/openapi.json", "This gateway", "The same for programs", needs_key=False),
    ApiMethod("GET", "/health", "This gateway", "Whether the process lives", needs_key=False),
    ApiMethod(
        "GET", "/ready", "This gateway", "Whether it takes requests: 503 while it starts or drains", needs_key=False
    ),
    ApiMethod("GET", "/metrics", "This gateway", "Everything that is counted, for Prometheus", needs_key=False),
)


def _admin(method: str, path: str, summary: str, *query: str) -> ApiMethod:
    return ApiMethod(method, f"/admin/v1/{path}".rstrip("/"), "Administration", summary, query=query)


ADMIN: Final = (
    _admin("GET", "", "What there is to ask, and which right it needs"),
    _admin("GET", "replicas", "Each replica and its state"),
    _admin("POST", "replicas/{engine}/{replica}/drain", "Send it nothing new"),
    _admin("POST", "replicas/{engine}/{replica}/undrain", "Send it requests again"),
    _admin("GET", "routing/explain", "Why requests of a model go where they go", "model"),
    replace(
        _admin("POST", "routing/explain", "The same of one request, whose body this is", "model"),
        example={"model": "chat", "messages": _HELLO},
        body="json",
    ),
    _admin("GET", "records", "The last requests, one by one"),
    _admin("GET", "costs", "What was spent, by model, key or day"),
    _admin("GET", "shadow", "How copies of requests did next to their originals"),
    _admin("GET", "autoscale", "How many replicas each engine should have, and why"),
    _admin("GET", "drift", "What is known of drift"),
    _admin("POST", "drift/freeze", "Take the last hours as what is usual", "model"),
    _admin("GET", "experiments", "Every release and where it is"),
    _admin("GET", "experiments/report", "One of them, its arms side by side", "model"),
    _admin("GET", "experiments/decisions", "What was decided of one, and by whom", "model"),
    _admin("POST", "experiments/start", "Begin it", "model"),
    _admin("POST", "experiments/pause", "Hold it where it is", "model"),
    _admin("POST", "experiments/resume", "Go on", "model"),
    _admin("POST", "experiments/promote", "Give all requests to the new arm", "model"),
    _admin("POST", "experiments/abort", "Give all requests to the old one", "model"),
)
"""What a key with `admin: true` may ask."""


def endpoints(served: Served) -> Iterator[ApiMethod]:
    """All that are served, in the order to be read."""
    for operation, (summary, example) in INFERENCE.items():
        shape = SHAPES[operation]
        for method in shape.methods:
            yield ApiMethod(method.decode(), shape.path, "Inference", summary, example, shape.body)
    for endpoint in OTHERS:
        if endpoint.path != "/metrics":
            yield endpoint
        elif served.metrics != "off":
            yield replace(endpoint, needs_key=served.metrics == "key")
    if served.admin:
        yield from ADMIN
