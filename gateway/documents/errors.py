"""`docs/errors.md`: every row of `gateway.errors.TABLE`, with what it means and what to do about it."""

from __future__ import annotations

from typing import Final

from gateway.errors import TABLE

MEANINGS: Final[dict[str, str]] = {
    "invalid_http": "The request is no HTTP/1.1 that can be read in one way only; a proxy in between may have made it.",
    "invalid_json": "The body is not one JSON object in UTF-8; the message says where it stops being one.",
    "invalid_form": "The body is no `multipart/form-data` that can be read in one way only; the message says where.",
    "invalid_field": "A member or header has a value that cannot be; `param` names it.",
    "duplicate_model": "`model` stands twice in the body, and which was meant is anyone's guess.",
    "unsupported_operation": "No engine of the model speaks this endpoint; the message says which it speaks.",
    "unsupported_parameter": "No target of the model can be told this parameter; `param` names it.",
    "unsupported_encoding": "The body is compressed. Send it plain.",
    "invalid_api_key": "No key, or none that is known here. `penstock new-key` makes one.",
    "admin_not_allowed": "The admin API wants a key with `admin: true`.",
    "model_not_allowed": "The key's `models` do not have this one.",
    "foreign_host": "A gateway without keys serves loopback names only. Configure `auth.keys`, or `open: true`.",
    "foreign_origin": "A page of another origin asked a gateway without keys. `server.cors.origins` opens inference.",
    "not_found": "There is nothing at this path; the message says which base URL would be right, if that is it.",
    "model_not_found": "No such model; the nearest names are in the message.",
    "response_not_found": "No engine of this gateway is known to keep that response, or it is another tenant's.",
    "request_not_found": "Feedback names a request that nobody here remembers.",
    "ambiguous_request": "Feedback names a request id that several requests had; the record id is one's own.",
    "idempotency_conflict": "The same feedback was told before with other content.",
    "feedback_full": "The request has as much feedback as `feedback.per_record` allows.",
    "too_much_feedback": "The key told more than `feedback.per_minute` allows. Retry after `Retry-After`.",
    "response_gone": "The replica that kept the response is no more.",
    "method_not_allowed": "The `Allow` header names the methods of the path.",
    "request_timeout": "The head or the body did not arrive in time.",
    "body_too_large": "Larger than `limits.body_bytes`.",
    "headers_too_large": "Larger than `limits.header_bytes`.",
    "engine_error": "The engine answered with an error; its words are in the message where a client may see them.",
    "engine_auth": "The engine refused the gateway's key. The operator must give another.",
    "engine_model": "The engine lacks the model of the target; `target_model_unknown` in the log says which it has.",
    "connect_failed": "No connection to the engine. `penstock_breaker_open` and the first screen say which replica.",
    "connection_lost": "The engine closed the connection before it answered.",
    "bad_answer": "The engine's answer is not HTTP that is accepted, over a limit, or in no shape that its format has.",
    "answer_truncated": "The answer broke off after it had begun; a stream ends in this error, not in success.",
    "no_finish_reason": "The answer ended without saying that it was whole.",
    "connections_busy": "All connections that the engine may have are in use (`connections`).",
    "out_of_sockets": "The gateway has no file descriptor or port left: see the page on operations.",
    "overloaded": "Every replica is full and the line too. Retry after `Retry-After`.",
    "tenant_queue_full": "This tenant's part of the line is full; the others' is not.",
    "no_replica": "Nobody can be asked at the moment; the message says in how many seconds somebody may.",
    "unknown_finish_reason": "The engine ended for a reason that is in no table, which must not look like success.",
    "unknown_event": "The engine's answer has an event, or a part, that cannot be read.",
    "adapter_not_loaded": "No replica has the LoRA adapter, or could load it.",
    "timeout": "The engine, or the client's own deadline (`x-request-timeout-ms`), ran out of time.",
    "store_away": "The store of records does not answer. Inference goes on.",
    "draining": "This gateway is shutting down. Another one of the deployment serves.",
    "control_plane_busy": "The control plane did not answer in time; inference goes on.",
    "too_many_connections": "`limits.connections` are open, and none is idle.",
    "internal": "A fault of the gateway's. Its log has the cause.",
    "client_gone": "Never answered: the client left. Only in records and metrics.",
    "client_stalled": "Never answered: the client read nothing for too long.",
}
"""By kind. A kind that is not here has its code for a meaning."""

_HEAD = """# Errors

<!-- Made by `python -m gateway.documents`; the table is gateway/errors.py. -->

An error of the gateway's own has the shape of the client's format: `{"error": {"message", "type", "param", "code"}}`
for OpenAI's, `{"type": "error", "error": {"type", "message"}, "request_id"}` for Anthropic's. What an engine says
passes as it came where it speaks the client's format. A 200 that has an `error`, is an `application/problem+json`, or
has no body (but for a text) is a failed attempt; other documents pass, HTML too. The kind is the label of
`penstock_errors_total` and the `error` of the access line; `reason` there has the words. `retried` means that the
gateway has tried again where it could, so `x-should-retry: false` is sent after several attempts. An answer that is
there and cannot be told (a reason to finish or an event in no table, no reason to finish, over a limit, no shape of its
format) is asked for once, and `x-should-retry: false` is sent with it: its engine charges for each.

| kind | status | type | code | retried | what it means |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The page."""
    rows = []
    for kind, row in TABLE.items():
        code = f"`{row.code}`" if row.code is not None else ""
        retried = "yes" if row.retried_here else ""
        meaning = MEANINGS.get(kind, "")
        rows.append(f"| `{kind}` | {row.status} | `{row.type}` | {code} | {retried} | {meaning} |\n")
    return _HEAD + "".join(rows)
