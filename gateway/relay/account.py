"""What a relay asks of the request whose answer it carries, and how such an answer ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from engines.errors import ClientStalled, EngineError, IdleTimeout, TotalTimeout
from gateway.accounts.costs import in_digits
from gateway.errors import Failure

if TYPE_CHECKING:
    from engines.model import Usage
    from gateway.attempt import Attempt
    from gateway.reply import Reply

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

    def used(self, attempt: Attempt) -> Usage | None:
        """What this attempt has used so far, with an estimate of a count that its engine left out."""

    def settle(self, status: int) -> None: ...

    def fail(self, failure: Failure) -> None:
        """Tell the client, in whatever way is still open, and settle."""


class Recorder(Protocol):
    """Who wants to know what leaves of a stream."""

    def note(self, events: list[bytes]) -> None:
        """These events, or blocks of them, leave now. The list is not the recorder's to keep."""


def whole(account: Account, attempt: Attempt, reply: Reply, headers: bytes, body: bytes) -> None:
    """The answer is whole, and is told with what it costs, which is known once its account is settled. `headers` are
    made before that: a mistake in them is the answer's then, and another attempt may be made."""
    attempt.works()
    account.settle(attempt.status)
    cost_usd = account.cost_usd
    if cost_usd is not None:
        headers = b"%bx-penstock-cost-usd: %b\r\n" % (headers, in_digits(cost_usd))
    reply.respond(attempt.status, headers, body)


def broken(account: Account, attempt: Attempt, error: EngineError) -> None:
    """The answer broke after its first byte: its client is told, whatever comes of blaming somebody."""
    try:
        if attempt.is_engines_fault(error):
            attempt.broke()
        else:
            attempt.works()
    finally:
        account.fail(Failure(kind_of(error), f"model {account.model!r}: {error}"))


def kind_of(error: EngineError) -> str:
    """The row of `gateway.errors` for an answer that broke after its first byte."""
    if isinstance(error, ClientStalled):
        return "client_stalled"
    return "timeout" if isinstance(error, (IdleTimeout, TotalTimeout)) else "answer_truncated"
