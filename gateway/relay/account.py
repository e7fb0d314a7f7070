"""What a relay asks of the request whose answer it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from engines.errors import ClientStalled, EngineError, IdleTimeout, TotalTimeout

if TYPE_CHECKING:
    from gateway.attempt import Attempt
    from gateway.errors import Failure

UNNAMED: Final = 502
"""The status of an error in a 200 that names none: the engine failed, and does not say why."""


class Account(Protocol):
    """The request that an answer is for, and who closes its account."""

    model: str
    record_id: bytes
    attempts: list[Attempt]
    error_kind: str
    cost_usd: float | None
    """Known once it is settled."""

    def head_down(self) -> bytes:
        """The gateway's own response headers."""

    def commented(self) -> bool:
        """Comments alone have left; whether another attempt can still be made, should the answer turn out an error."""

    def named(self, attempt: Attempt, response_id: str) -> None:
        """The answer of this attempt can be asked for by an id. Only whoever wants to know says more."""
        return

    def committed(self) -> None:
        """Something of the answer leaves now: no other attempt will be made."""

    def goes_on(self, attempt: Attempt, failure: Failure) -> bool:
        """The engine broke its answer after something of it was used; whether another one takes it up. Where none does,
        the failure is to be told."""

    def settle(self, status: int) -> None: ...

    def fail(self, failure: Failure) -> None:
        """Tell the client, in whatever way is still open, and settle."""


class Recorder(Protocol):
    """Who wants to know what leaves of a stream."""

    def note(self, events: list[bytes]) -> None:
        """These events, or blocks of them, leave now. The list is not the recorder's to keep."""


def kind_of(error: EngineError) -> str:
    """The row of `gateway.errors` for an answer that broke after its first byte."""
    if isinstance(error, ClientStalled):
        return "client_stalled"
    return "timeout" if isinstance(error, (IdleTimeout, TotalTimeout)) else "answer_truncated"
