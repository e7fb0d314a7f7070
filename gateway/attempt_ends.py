"""What the failure of one engine call is to routing (an outcome) and to a client (a row of `gateway.errors`)."""

from __future__ import annotations

from typing import Final

from engines.errors import (
    AnswerTruncated,
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    EngineError,
    FirstByteTimeout,
    NoConnectionFree,
    OutOfSockets,
    TotalTimeout,
)
from routing.outcome import Outcome

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
