"""Every failure a client can see, in one table: status, OpenAI error type and code, and whether an SDK should retry.

A message says what happened, to which model, and what to do about it. It never holds a key, an upstream URL or a
stack trace. `kind` is the label of `penstock_errors_total` and the `error` field of the access line.

`x-should-retry` tells OpenAI's SDKs what to do (openai-python `_base_client.py`): `false` only where we have already
tried again in their place, or where the engine did the work and would charge for it again; never on 429 or 503, whose
Retry-After the SDK must be free to honour.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from engines.wire import ApiError, Dialect


class Row(NamedTuple):
    status: int
    type: str
    code: str | None
    retried_here: bool = False
    """Once we have tried again, a client that tries again too would only multiply the load. (It would do as little good
    where the engine's answer was there and could not be told.)"""


SOON_S: Final = 1.0
"""A 503 says the seconds it will take; where nobody knows, it is worth a try after so long."""
TRIED_ENOUGH: Final = b"x-should-retry: false\r\n"
"""For a client whose request had more than one attempt here. After a single one its own retries are worth as much."""


TABLE: dict[str, Row] = {
    # The request itself.
    "invalid_http": Row(400, "invalid_request_error", "invalid_http"),
    "invalid_json": Row(400, "invalid_request_error", "invalid_json"),
    "invalid_form": Row(400, "invalid_request_error", "invalid_form"),
    "invalid_field": Row(400, "invalid_request_error", "invalid_value"),
    "duplicate_model": Row(400, "invalid_request_error", "duplicate_model"),
    "unsupported_operation": Row(400, "invalid_request_error", "unsupported_operation"),
    "unsupported_parameter": Row(400, "invalid_request_error", "unsupported_parameter"),
    "unsupported_encoding": Row(415, "invalid_request_error", "unsupported_content_encoding"),
    "invalid_api_key": Row(401, "authentication_error", "invalid_api_key"),
    "admin_not_allowed": Row(403, "permission_error", "admin_not_allowed"),
    "model_not_allowed": Row(403, "permission_error", "model_not_allowed"),
    "foreign_host": Row(403, "permission_error", "foreign_host"),
    "foreign_origin": Row(403, "permission_error", "foreign_origin"),
    "not_found": Row(404, "not_found_error", "not_found"),
    "model_not_found": Row(404, "not_found_error", "model_not_found"),
    "request_not_found": Row(404, "not_found_error", "request_not_found"),
    "ambiguous_request": Row(409, "invalid_request_error", "ambiguous_request"),
    "idempotency_conflict": Row(409, "invalid_request_error", "idempotency_conflict"),
    "feedback_full": Row(409, "invalid_request_error", "feedback_full"),
    "too_much_feedback": Row(429, "rate_limit_error", "too_much_feedback"),
    "response_not_found": Row(404, "not_found_error", "response_not_found"),
    "response_gone": Row(410, "not_found_error", "response_gone"),
    "method_not_allowed": Row(405, "invalid_request_error", "method_not_allowed"),
    "request_timeout": Row(408, "timeout_error", "request_timeout"),
    "body_too_large": Row(413, "request_too_large", "request_too_large"),
    "headers_too_large": Row(431, "invalid_request_error", "headers_too_large"),
    # The engines.
    "engine_error": Row(502, "server_error", "engine_error", True),
    "engine_auth": Row(502, "server_error", "engine_auth", True),
    "engine_model": Row(502, "server_error", "engine_model_not_found", True),
    "connect_failed": Row(502, "server_error", "engine_unreachable", True),
    "connection_lost": Row(502, "server_error", "engine_connection_lost", True),
    "bad_answer": Row(502, "server_error", "engine_bad_answer", True),
    "answer_truncated": Row(502, "server_error", "engine_answer_truncated", True),
    "no_finish_reason": Row(502, "server_error", "engine_answer_truncated", True),
    "connections_busy": Row(503, "server_error", "engine_connections_busy"),
    "out_of_sockets": Row(503, "server_error", "gateway_out_of_sockets"),
    "overloaded": Row(503, "server_error", "overloaded"),
    "tenant_queue_full": Row(429, "rate_limit_error", "tenant_queue_full"),
    "no_replica": Row(503, "server_error", "no_replica_available"),
    "unknown_finish_reason": Row(502, "server_error", "engine_unknown_finish_reason", True),
    "unknown_event": Row(502, "server_error", "engine_unknown_event", True),
    "adapter_not_loaded": Row(503, "server_error", "adapter_not_loaded"),
    "timeout": Row(504, "timeout_error", "timeout", True),
    # Ourselves.
    "store_away": Row(503, "server_error", "store_away"),
    "draining": Row(503, "server_error", "shutting_down"),
    "control_plane_busy": Row(503, "server_error", "control_plane_busy"),
    "too_many_connections": Row(503, "server_error", "too_many_connections"),
    "internal": Row(500, "server_error", "internal_error"),
    # Never answered, only recorded.
    "client_gone": Row(499, "invalid_request_error", "client_closed_request"),
    "client_stalled": Row(499, "invalid_request_error", "client_stalled"),
}


@dataclass(eq=False)
class Failure(Exception):
    """One row of the table with the words and numbers of the case."""

    kind: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    allow: str = ""
    """For 405: the methods that the path knows."""
    more: bytes = b""
    """Further header lines."""
    charged: bool = False
    """The engine has done the work: whoever asks again, a client's SDK too, is charged for it again."""

    @property
    def status(self) -> int:
        return TABLE[self.kind].status

    @property
    def api_error(self) -> ApiError:
        row = TABLE[self.kind]
        return ApiError(message=self.message, type=row.type, code=row.code, param=self.param)

    def headers(self) -> bytes:
        """The header lines that belong to this failure."""
        lines = self.more
        after_s = self.retry_after_s
        if after_s is None and self.status == 503:
            after_s = SOON_S
        if after_s is not None:
            lines += b"retry-after: %d\r\n" % max(1, ceil(after_s))
        if self.allow:
            lines += b"allow: %b\r\n" % self.allow.encode()
        if self.kind == "invalid_api_key":
            lines += b"www-authenticate: Bearer\r\n"  # RFC 9110 section 15.5.2: a 401 must say what would be right
        return lines

    def body(self, dialect: Dialect, request_id: str) -> bytes:
        return dialect.error_body(self.api_error, request_id)
