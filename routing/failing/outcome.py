"""How one attempt ended, and what follows from it for the breaker and for the retry: one table for both.

    outcome             breaker   retry           why
    ------------------  --------  --------------  ------------------------------------------------------------------
    ANSWERED            success   never           the replica works; a 4xx is about the request
    REFUSED_FOR_GOOD    ignored   never           501, 505: no other attempt would differ
    CONNECT_FAILED      failure   free to move    nothing was sent, so moving on adds no load anywhere
    CONNECTION_LOST     failure   if allowed      after the send, before the first body byte: the client has seen
                                                  nothing, but the engine may have done the work (`after_send`)
    BAD_ANSWER          failure   yes             no HTTP before the first body byte, a redirect, or a 2xx with nothing
                                                  in it: whoever answers so has made no token
    UNTELLABLE          ignored   never           an answer that cannot be told: the work has been done, and would be
                                                  charged for again
    SERVER_ERROR        failure   yes             500, 502, 504 and the other 5xx
    FIRST_BYTE_TIMEOUT  failure   next tier only  see below
    TOO_SLOW            ignored   next tier only  the client would leave before it answers; it may be in a hurry
    CREDENTIALS_REFUSED ignored   next engine     401, 402, 407, a 403 about the key: ours, not the client's;
                                                  the replica stands aside
    FORBIDDEN           ignored   next target     any other 403: about this prompt, or this model
    UNKNOWN_MODEL       ignored   next target     404 that names the model: the target's name for it is wrong
    UNSPOKEN            ignored   next target     404 or 405 without an error object: no such route there
    REQUEST_TIMEOUT     ignored   yes             408: about the connection, not the replica's health
    RATE_LIMITED        ignored   yes             429: the replica works as meant
    OVERLOADED          ignored   yes             503, 529 (RFC 9110 15.6.4: "temporary overload"); ejecting a full
                                                  replica moves its load to the others and topples them in turn
    CUT_SHORT           failure   never           after the first body byte
    OUT_OF_TIME         ignored   never           the client's own deadline; it may have been short
    CLIENT_GONE         ignored   never           nobody is waiting

A first-byte timeout is not asked again in its tier: the prompt is probably still queued or in prefill there, the
siblings of a saturated pool are as slow, and a second copy would double the load just then. A fallback tier is
another pool, so it gets its chance if the client's deadline leaves time.

"Next engine" and "next target" pass over every endpoint of the same engine, or of the same engine under the same model
name: they would refuse for the same reason. Nothing was computed, so such a move is free.
"""

from __future__ import annotations

from enum import Enum

from routing.failing.breaker import Verdict


class Retry(Enum):
    """Where a request may go after an outcome."""

    NEVER = "never"
    NEXT_TIER = "next_tier"
    NEXT_ENGINE = "next_engine"
    NEXT_TARGET = "next_target"
    IF_ALLOWED = "if_allowed"
    YES = "yes"
    FREE_TO_MOVE = "free_to_move"


class Outcome(Enum):
    """The end of one attempt; see the table above. The value is a metric label."""

    ANSWERED = "answered"
    REFUSED_FOR_GOOD = "refused_for_good"
    CONNECT_FAILED = "connect_failed"
    CONNECTION_LOST = "connection_lost"
    BAD_ANSWER = "bad_answer"
    UNTELLABLE = "untellable"
    SERVER_ERROR = "server_error"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    TOO_SLOW = "too_slow"
    CREDENTIALS_REFUSED = "credentials_refused"
    FORBIDDEN = "forbidden"
    UNKNOWN_MODEL = "unknown_model"
    UNSPOKEN = "unspoken"
    REQUEST_TIMEOUT = "request_timeout"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    CUT_SHORT = "cut_short"
    OUT_OF_TIME = "out_of_time"
    CLIENT_GONE = "client_gone"

    # Members are singletons; Enum's own hash is a Python function.
    __hash__ = object.__hash__

    @property
    def verdict(self) -> Verdict:
        """What it says about the replica."""
        return _MEANING[self][0]

    @property
    def retry(self) -> Retry:
        """Where the request may go."""
        return _MEANING[self][1]


_MEANING: dict[Outcome, tuple[Verdict, Retry]] = {
    Outcome.ANSWERED: (Verdict.SUCCESS, Retry.NEVER),
    Outcome.REFUSED_FOR_GOOD: (Verdict.IGNORED, Retry.NEVER),
    Outcome.CONNECT_FAILED: (Verdict.FAILURE, Retry.FREE_TO_MOVE),
    Outcome.CONNECTION_LOST: (Verdict.FAILURE, Retry.IF_ALLOWED),
    Outcome.BAD_ANSWER: (Verdict.FAILURE, Retry.YES),
    Outcome.UNTELLABLE: (Verdict.IGNORED, Retry.NEVER),
    Outcome.SERVER_ERROR: (Verdict.FAILURE, Retry.YES),
    Outcome.FIRST_BYTE_TIMEOUT: (Verdict.FAILURE, Retry.NEXT_TIER),
    Outcome.TOO_SLOW: (Verdict.IGNORED, Retry.NEXT_TIER),
    Outcome.CREDENTIALS_REFUSED: (Verdict.IGNORED, Retry.NEXT_ENGINE),
    Outcome.FORBIDDEN: (Verdict.IGNORED, Retry.NEXT_TARGET),
    Outcome.UNKNOWN_MODEL: (Verdict.IGNORED, Retry.NEXT_TARGET),
    Outcome.UNSPOKEN: (Verdict.IGNORED, Retry.NEXT_TARGET),
    Outcome.REQUEST_TIMEOUT: (Verdict.IGNORED, Retry.YES),
    Outcome.RATE_LIMITED: (Verdict.IGNORED, Retry.YES),
    Outcome.OVERLOADED: (Verdict.IGNORED, Retry.YES),
    Outcome.CUT_SHORT: (Verdict.FAILURE, Retry.NEVER),
    Outcome.OUT_OF_TIME: (Verdict.IGNORED, Retry.NEVER),
    Outcome.CLIENT_GONE: (Verdict.IGNORED, Retry.NEVER),
}
_OF_STATUS = {
    401: Outcome.CREDENTIALS_REFUSED,
    402: Outcome.CREDENTIALS_REFUSED,
    403: Outcome.FORBIDDEN,
    407: Outcome.CREDENTIALS_REFUSED,
    408: Outcome.REQUEST_TIMEOUT,
    429: Outcome.RATE_LIMITED,
    501: Outcome.REFUSED_FOR_GOOD,
    503: Outcome.OVERLOADED,
    505: Outcome.REFUSED_FOR_GOOD,
    529: Outcome.OVERLOADED,
}


def outcome_of_status(status: int) -> Outcome:
    """The outcome of an answer with this final HTTP status."""
    if status < 400:  # nearly every answer
        return Outcome.ANSWERED
    known = _OF_STATUS.get(status)
    if known is not None:
        return known
    return Outcome.SERVER_ERROR if status >= 500 else Outcome.ANSWERED
