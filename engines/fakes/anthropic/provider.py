"""Anthropic's endpoints, headers and errors."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from engines.fakes.anthropic.reading import read_count, read_create
from engines.fakes.anthropic.writing import ERRORS, MessagesFormat, error_body
from engines.fakes.asked import Asked
from engines.fakes.call import Call, HeaderList
from engines.fakes.limits import Left
from engines.fakes.problems import Kind, Problem, invalid
from engines.fakes.provider import Chat, Plain, Refusal

MODELS: Final = ("claude-opus-5", "claude-sonnet-5", "claude-haiku-4-5")
_VERSION: Final = re.compile(r"20\d\d-\d\d-\d\d")


class Anthropic:
    """Implements `engines.fakes.provider.Provider`."""

    name = "anthropic"

    def key(self, call: Call) -> str:
        key = call.header("x-api-key") or call.bearer
        if not key:
            raise Problem(Kind.UNAUTHENTICATED, "x-api-key header is required")
        if not _VERSION.fullmatch(call.header("anthropic-version")):
            raise invalid("anthropic-version: header is required, as YYYY-MM-DD")
        return key

    def route(self, call: Call) -> Chat | Plain:
        match call.method, call.path:
            case "POST", "/v1/messages":
                return Chat(MessagesFormat(), _create)
            case "POST", "/v1/messages/count_tokens":
                return Plain(_count)
            case "GET", "/v1/models":
                return Plain(_models)
        raise Problem(Kind.NOT_FOUND, "Not found")

    def refusal(self, problem: Problem, number: int) -> Refusal:
        headers: HeaderList = [(b"request-id", b"req_fake%06d" % number)]
        if problem.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % math.ceil(problem.retry_after_s)))
        return Refusal(ERRORS[problem.kind][0], error_body(problem, number), headers)

    def headers(self, number: int, left: Left) -> HeaderList:
        reset = (datetime.now(UTC) + timedelta(seconds=left.reset_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers: HeaderList = [(b"request-id", b"req_fake%06d" % number)]
        for name, limit, remaining in (
            ("requests", left.requests_limit, left.requests),
            ("tokens", left.tokens_limit, left.tokens),
            ("input-tokens", left.tokens_limit, left.tokens),
            ("output-tokens", left.tokens_limit, left.tokens),
        ):
            for what, value in (("limit", limit), ("remaining", remaining), ("reset", reset)):
                headers.append((f"anthropic-ratelimit-{name}-{what}".encode(), str(value).encode()))
        return headers


def _create(call: Call) -> Asked:
    return read_create(call.body)


def _count(call: Call) -> tuple[str, Any]:
    model, tokens = read_count(call.body)
    return model, {"input_tokens": tokens}


def _models(call: Call) -> tuple[str, Any]:
    data = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in MODELS
    ]
    return "", {"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
