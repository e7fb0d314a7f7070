"""Everything that can go wrong between us and an engine, grouped by what the caller can do about it.

    EngineError
    ├── NotSent             nothing reached the engine: safe to send elsewhere
    │   ├── ConnectFailed       refused, unreachable, TLS or DNS failure, connect deadline
    │   ├── NoConnectionFree    ours are all busy: the engine is not to blame
    │   └── OutOfSockets        this process or machine can open no more: no engine is to blame
    ├── Unanswered          sent, but no body byte of a 2xx came back: the retry policy decides
    │   ├── ConnectionLost      closed or reset before the first body byte
    │   └── FirstByteTimeout
    ├── CutShort            the answer broke after its first body byte: never retried
    │   ├── AnswerTruncated     closed, reset or malformed mid-body
    │   ├── IdleTimeout
    │   └── ClientStalled       it was our client that stopped reading
    ├── TotalTimeout        the caller's whole time is up, in whatever phase
    ├── BadAnswer           the engine broke HTTP or a size limit
    ├── CredentialsRefused  a free endpoint answered 401 or 403: the operator must give another key
    └── LaunchFailed        a launched engine did not start; the message is for the operator

Messages never hold keys, request bodies or URLs with credentials.
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all engine failures; `str(error)` is one plain sentence."""


class NotSent(EngineError):
    """Nothing of the request reached the engine."""


class ConnectFailed(NotSent):
    """No connection could be made in time."""


class NoConnectionFree(NotSent):
    """Every connection we may have to this engine stayed busy."""


class OutOfSockets(NotSent):
    """This process or machine has no descriptor, local port or memory left for another connection, to whatever engine.

    It says nothing about a replica: blaming one would open the breakers of all of them at once.
    """


class Unanswered(EngineError):
    """The request was sent and no body byte of a 2xx answer came back."""


class ConnectionLost(Unanswered):
    """The connection closed before the first body byte."""


class FirstByteTimeout(Unanswered):
    """No body byte within the first-byte deadline."""


class CutShort(EngineError):
    """The answer broke after its first body byte."""


class AnswerTruncated(CutShort):
    """The connection closed, or the framing broke, in the middle of the body."""


class IdleTimeout(CutShort):
    """Nothing arrived for the idle deadline, in the middle of the body."""


class ClientStalled(CutShort):
    """Paused for the idle deadline, because the client read nothing."""


class TotalTimeout(EngineError):
    """The caller's total deadline passed."""


class BadAnswer(EngineError):
    """The engine's answer is not HTTP we accept, or is over a limit."""


class CredentialsRefused(EngineError):
    """A free endpoint does not let us in with the key that we have, or without one."""


class LaunchFailed(EngineError):
    """A launched engine could not be started."""
