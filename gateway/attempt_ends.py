"""What the failure of one engine call is to routing (an outcome) and to a client (a row of `gateway.errors`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engines.errors import (
    AnswerTruncated,
    BadAnswer,
    ClientStalled,
    ConnectFailed,
    ConnectionLost,
    EngineError,
    FirstByteTimeout,
    IdleTimeout,
    NoConnectionFree,
    OutOfSockets,
    TotalTimeout,
)
from engines.wire.key_refusals import blames_key
from gateway.refusing.refusal import outcome_of_not_found
from routing.failing.outcome import Outcome, outcome_of_status

if TYPE_CHECKING:
    from engines.model import Deadlines
    from engines.port import Headers

_ENDS: Final[dict[type[EngineError], tuple[Outcome, str]]] = {
    ConnectFailed: (Outcome.CONNECT_FAILED, "connect_failed"),
    NoConnectionFree: (Outcome.OVERLOADED, "connections_busy"),
    OutOfSockets: (Outcome.OVERLOADED, "out_of_sockets"),
    ConnectionLost: (Outcome.CONNECTION_LOST, "connection_lost"),
    FirstByteTimeout: (Outcome.FIRST_BYTE_TIMEOUT, "timeout"),
    TotalTimeout: (Outcome.OUT_OF_TIME, "timeout"),
    BadAnswer: (Outcome.BAD_ANSWER, "bad_answer"),
    AnswerTruncated: (Outcome.CONNECTION_LOST, "answer_truncated"),
}


def end_of(error: EngineError) -> tuple[Outcome, str]:
    """How an attempt ended that failed so, and the kind of that."""
    return _ENDS.get(type(error), (Outcome.CONNECTION_LOST, "engine_error"))


def outcome_of_answer(status: int, headers: Headers, error_parts: list[bytes], model: str) -> Outcome:
    """What an error answer is; `model` is its engine's name of the model."""
    if status == 404 or status == 405:
        return outcome_of_not_found(b"".join(error_parts), model)
    outcome = outcome_of_status(status)
    if outcome is Outcome.FORBIDDEN and blames_key(headers, b"".join(error_parts)):
        return Outcome.CREDENTIALS_REFUSED
    return outcome


def is_engines_fault(error: EngineError, bounds: Deadlines | None, own: Deadlines) -> bool:
    """Whether an error counts against its replica: not when the client's deadline or reading ended it. `bounds` are
    those that were in force where the client told any, `own` the engine's."""
    match error:
        case TotalTimeout() | ClientStalled():
            return False
        case FirstByteTimeout():
            return bounds is None or bounds.first_byte_s == own.first_byte_s
        case IdleTimeout():
            return bounds is None or bounds.idle_s == own.idle_s
        case _:
            return True
