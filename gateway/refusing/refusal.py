"""An engine's error answer, told to a client: as it came where the client can read it, and never what is about us."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from engines.loads.limit_names import for_clients_of
from engines.model import Operation
from engines.wire import ApiError
from engines.wire.key_refusals import flags_prompt
from engines.wire.refusals import CONTEXT_LENGTH, error_code, error_type
from gateway import clock
from gateway.errors import TRIED_ENOUGH, Failure
from gateway.relay.headers import passed_headers
from gateway.reply import JSON
from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome

if TYPE_CHECKING:
    from engines.wire import Dialect
    from gateway.attempt import Attempt
    from gateway.reply import Reply
    from routing.failing.retry import RetryState


class Refused(Protocol):
    """A request that is told what its engine said: `gateway.flight.Flight`."""

    model: str
    operation: Operation
    dialect: Dialect
    request_id: bytes
    error_kind: str
    attempts: list[Attempt]
    reply: Reply

    def sentence(self, message: str) -> str:
        """A message of ours: of which model, engine and attempt it is."""

    def head_down(self) -> bytes: ...
    def settle(self, status: int) -> None: ...
    def fail(self, failure: Failure) -> None: ...


def pass_error(request: Refused, attempt: Attempt, outcome: Outcome, tried: RetryState | None) -> None:
    """Tell the client what the engine said, unless that would tell it about us, and settle."""
    said = told(
        attempt, outcome, request.operation, request.dialect, request.model, request.request_id, request.sentence
    )
    if isinstance(said, Failure):
        request.fail(said)
        return
    status, body = said
    request.error_kind = request.error_kind or attempt.error_kind
    reply = request.reply
    if reply.untold:
        free_in_s = None if tried is None else tried.free_in_s(clock.monotonic())
        headers = JSON + request.head_down() + refusal_headers(request, attempt, outcome, free_in_s)
        request.settle(status)
        reply.respond(status, headers, body)
    else:  # by a comment
        request.settle(reply.status)
        reply.pass_error(body, attempt.error_event)


def told(
    attempt: Attempt,
    outcome: Outcome,
    operation: Operation,
    dialect: Dialect,
    model: str,
    request_id: bytes,
    sentence: Callable[[str], str],
) -> tuple[int, bytes] | Failure:
    """The status and the body that a client of `dialect` is told, or the failure of ours that stands in their place.

    `sentence` says of which model, engine and attempt a message is.
    """
    status = attempt.status
    endpoint = attempt.upstream.endpoint
    if outcome is Outcome.CREDENTIALS_REFUSED:
        # Ours, not the client's: a provider's message may quote part of the key.
        return Failure("engine_auth", sentence("the engine refused the gateway's credentials"))
    body = b"".join(attempt.error_parts or ())
    if outcome is Outcome.FORBIDDEN and not flags_prompt(body):
        # Whether for the model or the place: it may name the account.
        return Failure("engine_auth", sentence("the engine does not allow the gateway this request"))
    if outcome is Outcome.UNKNOWN_MODEL:
        named = attempt.upstream.model
        if named != endpoint.model:  # by the client, of a wildcard
            return Failure("model_not_found", f"model {model!r}: engine {endpoint.engine} does not know it", "model")
        what = f"engine {endpoint.engine} does not know the model {named!r} that its target names"
        return Failure("engine_model", f"model {model!r}: {what}")
    if outcome is Outcome.UNSPOKEN:
        what = f"engine {endpoint.engine} does not speak {operation.value} for this model"
        return Failure("unsupported_operation", f"model {model!r}: {what}")
    engine = attempt.upstream.engine
    for secret in engine.secrets:
        body = body.replace(secret, b"***")
    spoken = engine.dialect(operation)
    said = spoken.read_error(status, body)
    if said.native and spoken is dialect:
        return status, dialect.named_error(body, request_id.decode())
    kind, code = said.type, "engine_error"
    if spoken is not dialect:  # its words for kinds of errors are another format's
        kind, code = error_type(status), error_code(status, said.message) or code
    words = f"the engine answered {status}" + (f": {said.message}" if said.message else "")
    # Clients know a prompt that is too long by a 400; AI21 answers 422.
    status = 400 if code == CONTEXT_LENGTH else status
    return status, dialect.error_body(ApiError(sentence(words), kind, code), request_id.decode())


_NO_SUCH_MODEL: Final = frozenset({"model_not_found", "DeploymentNotFound", "model_not_available"})
"""OpenAI's code, Azure's and Together's; the message of the second names nothing."""


def _names(said: str, model: str) -> bool:
    """Whether a message names the model: an id (`file-o1`, `resp_main`) may hold the letters of a short one by chance,
    or because its client chose it."""
    return re.search(rf"(?<![\w-]){re.escape(model)}(?![\w-])", said) is not None


def outcome_of_not_found(body: bytes, model: str) -> Outcome:
    """Whose a 404 or 405 is, asked for upstream model `model`.

    One that names the model is the target's: its name is wrong there. One without an error object is the engine's: it
    has no such route. Any other (an unknown `previous_response_id`) is the client's.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Outcome.UNSPOKEN
    if not isinstance(answer, dict):
        return Outcome.UNSPOKEN
    error = answer.get("error")
    if not isinstance(error, dict):  # Cohere's are flat, others' `error` or `detail` is a text
        told = [answer.get(key) for key in ("message", "error", "detail")]
        named = any(isinstance(text, str) and _names(text, model) for text in told)
        return Outcome.UNKNOWN_MODEL if named else Outcome.UNSPOKEN
    code, said = error.get("code"), error.get("message")
    if (isinstance(code, str) and code in _NO_SUCH_MODEL) or (isinstance(said, str) and _names(said, model)):
        return Outcome.UNKNOWN_MODEL
    return Outcome.ANSWERED


def refusal_headers(request: Refused, attempt: Attempt, outcome: Outcome, free_in_s: float | None) -> bytes:
    """The header lines that belong to an engine's refusal, that of the last attempt: when to come back, and what is
    left of the limits. `free_in_s`: when the first of the engines that refused serves again, which may be another.
    """
    limits = [(name, value) for name, value in attempt.headers if b"ratelimit-" in name]
    if limits and attempt.upstream.engine.dialect(request.operation) is not request.dialect:
        lines = passed_headers(for_clients_of(request.operation is Operation.MESSAGES, limits, clock.wall()))
    else:
        lines = passed_headers(limits)
    retry_after_s = attempt.retry_after_s()
    if retry_after_s is not None:
        if free_in_s is not None:
            retry_after_s = min(retry_after_s, free_in_s)
        lines += b"retry-after: %d\r\n" % max(1, ceil(retry_after_s))
        if any(name == b"retry-after-ms" for name, _ in attempt.headers):
            lines += b"retry-after-ms: %d\r\n" % ceil(retry_after_s * 1e3)
    if len(request.attempts) > 1 and outcome.verdict is Verdict.FAILURE:
        lines += TRIED_ENOUGH
    return lines


def last_failure(attempt: Attempt, outcome: Outcome, sentence: Callable[[str], str]) -> Failure:
    """What is told of an attempt that got no answer, when no other is made."""
    if outcome is Outcome.OVERLOADED:
        return Failure(attempt.error_kind, sentence(f"{attempt.message}; try again in 1 s"), retry_after_s=1.0)
    return Failure(attempt.error_kind, sentence(attempt.message), charged=outcome is Outcome.UNTELLABLE)
