"""Where the account of a request goes, as the request path sees it; `gateway.accounts.accounting` keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from engines.model import Operation
    from gateway.accounts.record import RequestRecord
    from gateway.body.held import HeldPrompts
    from gateway.errors import Failure
    from gateway.flight import Flight
    from gateway.http.request import Request
    from gateway.tracing import Tracing
    from routing.experiments.experiment import Assignment
    from routing.failing.outcome import Outcome


UNTOLD: Final = -1
"""The number (`Settlement.assigned`) of a request of which no gate was told."""


class Settlement(Protocol):
    """Where a flight's account goes; see `gateway.accounts.accounting`."""

    __slots__ = ()

    tracing: Tracing | None
    """Where spans are made: what gives a request its place in a trace."""

    @property
    def held(self) -> HeldPrompts:
        """The worker's."""

    def assigned(self, assignment: Assignment) -> int:
        """A request was given this, and is counted; returns its number, which its flight keeps."""

    def unserved(self, assignment: Assignment, record_id: bytes) -> None:
        """A request was given this, and nobody of the arm can serve it: it became no flight."""

    def settle(self, flight: Flight) -> None: ...
    def shed(self, model: str, reason: str) -> None: ...
    def retried(self, engine: str, outcome: Outcome) -> None: ...
    def fell_back(self, model: str, source: str, target: str) -> None: ...
    def hedged(self, model: str, result: str) -> None: ...
    def hedge_withheld(self, model: str, reason: str) -> None: ...
    def continued(self, model: str, result: str) -> None: ...
    def not_continued(self, model: str, reason: str) -> None: ...
    def refused(
        self,
        request: Request,
        request_id: bytes,
        record_id: bytes,
        operation: Operation,
        model: str,
        key_id: str,
        failure: Failure,
        received_s: float,
    ) -> None: ...


class RecordSink(Protocol):
    """Takes records without waiting; drops and counts what it cannot hold."""

    __slots__ = ()

    def write(self, record: RequestRecord) -> None:
        """Take one record, which does not change from now on."""
