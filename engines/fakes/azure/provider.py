"""Azure OpenAI's endpoints, headers and errors.

Classic: `/openai/deployments/NAME/chat/completions?api-version=...`, where the deployment is the model. New:
`/openai/v1/...`, where the body's model is the deployment. A key comes as `api-key`, a token of Entra's as bearer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from engines.fakes.asked import Asked
from engines.fakes.call import Call, HeaderList
from engines.fakes.frames import Format, Frame, Place, data_event
from engines.fakes.limits import Left
from engines.fakes.openai.chat import ChatFormat
from engines.fakes.openai.completions import CompletionsFormat
from engines.fakes.openai.errors import ERRORS, error_body
from engines.fakes.openai.provider import embeddings, limit_headers
from engines.fakes.openai.reading import read_chat, read_completion
from engines.fakes.openai.responses import ResponsesFormat
from engines.fakes.openai.responses_reading import read_responses
from engines.fakes.problems import Kind, Problem, invalid
from engines.fakes.provider import Chat, Plain, Refusal
from engines.fakes.story import End, Story

_CLASSIC: Final = re.compile(r"/openai/deployments/([^/]+)/(chat/completions|completions|embeddings)")
_API_VERSION: Final = re.compile(r"20\d\d-\d\d-\d\d(-preview)?")
_SAFE: Final = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_HATEFUL: Final = {**_SAFE, "hate": {"filtered": True, "severity": "high"}}


class AzureChatFormat(ChatFormat):
    """OpenAI's chat with what the filters found, first of all in the prompt."""

    def plain(self, asked: Asked, story: Story, number: int) -> Any:
        answer = super().plain(asked, story, number)
        for choice in answer["choices"]:
            choice["content_filter_results"] = _HATEFUL if story.end is End.FILTERED else _SAFE
        answer["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _SAFE}]
        return answer

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        first = {
            **dict.fromkeys(("id", "object", "model"), ""),
            "created": 0,
            "choices": [],
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _SAFE}],
        }
        yield Frame(data_event(first), Place.OPENING)
        yield from super().frames(asked, story, number)

    def choice(self, index: int, delta: Any, finish: str | None) -> dict[str, Any]:
        found = _HATEFUL if finish == "content_filter" else _SAFE if delta.get("content") else {}
        return {**super().choice(index, delta, finish), "content_filter_results": found}


_CHAT: Final = AzureChatFormat()
_FORMATS: Final[Mapping[str, tuple[Format, Any]]] = {
    "chat/completions": (_CHAT, read_chat),
    "completions": (CompletionsFormat(), read_completion),
    "responses": (ResponsesFormat(), read_responses),
}


class Azure:
    """Implements `engines.fakes.provider.Provider`."""

    name = "azure"

    def key(self, call: Call) -> str:
        key = call.header("api-key") or call.bearer
        if not key:
            message = "Access denied due to invalid subscription key or wrong API endpoint."
            raise Problem(Kind.UNAUTHENTICATED, message)
        return key

    def route(self, call: Call) -> Chat | Plain:
        if call.method == "POST" and (classic := _CLASSIC.fullmatch(call.path)):
            if not _API_VERSION.fullmatch(call.query.get("api-version", "")):
                raise Problem(Kind.NOT_FOUND, "Resource not found: api-version is missing or none.")
            return _endpoint(classic[2], classic[1])
        if call.method == "POST" and call.path.startswith("/openai/v1/"):
            if call.query.get("api-version", "preview") not in ("preview", "latest"):
                raise invalid("API version not supported")
            return _endpoint(call.path.removeprefix("/openai/v1/"), "")
        raise Problem(Kind.NOT_FOUND, "Resource not found")

    def refusal(self, problem: Problem, number: int) -> Refusal:
        body = error_body(problem)
        if problem.kind is Kind.BLOCKED:
            body["error"] |= {
                "code": "content_filter",
                "type": None,
                "param": "prompt",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _HATEFUL},
            }
        elif problem.kind is Kind.UNAUTHENTICATED:
            body = {"error": {"code": "401", "message": str(problem)}}
        elif problem.kind is Kind.NOT_FOUND:
            body = {"error": {"code": "DeploymentNotFound", "message": str(problem)}}
        headers: HeaderList = [(b"apim-request-id", b"fake-%06d" % number)]
        if problem.retry_after_s is not None:
            headers += [
                (b"retry-after", b"%d" % max(round(problem.retry_after_s), 1)),
                (b"retry-after-ms", b"%d" % round(problem.retry_after_s * 1000)),
            ]
        return Refusal(ERRORS[problem.kind][0], body, headers)

    def headers(self, number: int, left: Left) -> HeaderList:
        kept = [(name, value) for name, value in limit_headers(left) if not name.startswith(b"x-ratelimit-reset")]
        return [(b"apim-request-id", b"fake-%06d" % number), (b"x-ms-region", b"Nowhere"), *kept]


def _endpoint(operation: str, deployment: str) -> Chat | Plain:
    if operation == "embeddings":
        return Plain(lambda call: embeddings(_with_model(call, deployment)))
    if operation not in _FORMATS:
        raise Problem(Kind.NOT_FOUND, "Resource not found")
    form, read = _FORMATS[operation]
    return Chat(form, lambda call: read(_with_model(call, deployment).body))


def _with_model(call: Call, deployment: str) -> Call:
    """The deployment is the model, whatever the body says."""
    if deployment:
        body = msgspec.json.decode(call.body, type=dict[str, msgspec.Raw])
        body["model"] = msgspec.Raw(msgspec.json.encode(deployment))
        call.body = msgspec.json.encode(body)
    return call
