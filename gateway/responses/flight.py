"""Requests whose answers engines keep: one that makes such an answer, and one that asks for it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.port import Outgoing
from gateway.body.prompt import Prompt
from gateway.explanation.flight import ExplainedFlight
from gateway.responses.homes import Home

if TYPE_CHECKING:
    from gateway.attempt import Attempt
    from gateway.fleet.snapshot import Upstream
    from gateway.http.request import Request
    from gateway.responses.keeper import Keeper


class ResponsesFlight(ExplainedFlight):
    """`POST /v1/responses`: the id of its answer is remembered. Whoever makes one sets `keeper` before it begins."""

    keeper: Keeper | None = None

    def named(self, attempt: Attempt, response_id: str) -> None:
        endpoint = attempt.upstream.endpoint
        if self.keeper is not None:
            tenant = self.principal.tenant
            self.keeper.keep(Home(response_id, self.model, endpoint.engine, endpoint.replica, tenant))


class StoredPrompt(Prompt):
    """A request without a body, for the very path that its client named."""

    __slots__ = ("_method",)

    def ask(self, request: Request) -> None:
        """Send what this request says. Call it before `outgoing`."""
        self._path = request.path.decode("latin-1")
        if request.query:
            self._path += "?" + request.query.decode("latin-1")
        self._method = request.method

    def outgoing(self, upstream: Upstream) -> Outgoing:
        return Outgoing(self._path, self._headers(), b"", self._method)


class StoredFlight(ExplainedFlight):
    """`/v1/responses/{id}` and what is below it. Its engine computes nothing for it."""

    def ask(self, request: Request, prompt: StoredPrompt) -> None:
        """Be about the response that `request` names. Call it before it begins."""
        prompt.ask(request)
        self._prompt = prompt
        facts = self.facts
        facts.prompt_tokens = facts.output_tokens = 0
        facts.streams = False
        # Records name the operation, not each response.
        request.path = self.operation.value.encode()
