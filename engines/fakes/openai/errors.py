"""OpenAI's errors: status, type and code of each."""

from __future__ import annotations

from typing import Any, Final

from engines.fakes.problems import Kind, Problem

ERRORS: Final = {
    Kind.INVALID: (400, "invalid_request_error", None),
    Kind.TOO_LONG: (400, "invalid_request_error", "context_length_exceeded"),
    Kind.BLOCKED: (400, "invalid_request_error", "content_policy_violation"),
    Kind.UNAUTHENTICATED: (401, "invalid_request_error", "invalid_api_key"),
    Kind.FORBIDDEN: (403, "permission_error", None),
    Kind.NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
    Kind.TOO_LARGE: (413, "invalid_request_error", None),
    Kind.RATE_LIMITED: (429, "requests", "rate_limit_exceeded"),
    Kind.NO_MONEY: (429, "insufficient_quota", "insufficient_quota"),
    Kind.FAILED: (500, "server_error", None),
    Kind.TIMED_OUT: (504, "server_error", "timeout"),
    Kind.OVERLOADED: (503, "server_error", "overloaded"),
}


def error_body(problem: Problem) -> dict[str, Any]:
    """The document, which a stream carries too."""
    _, kind, code = ERRORS[problem.kind]
    return {"error": {"message": str(problem), "type": kind, "param": problem.param, "code": code}}
