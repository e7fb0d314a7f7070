"""Requests whose answers engines keep: one that makes such an answer, and one that asks for it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.port import Outgoing
from gateway.body.prompt import Prompt
from gateway.explanation.flight import ExplainedFlight
from gateway.responses.homes import Home

if TYPE_CHECKING:
    from gateway.attempt import Attempt
    from gateway.explanation.explainer import Explainer
    from gateway.fleet.snapshot import Upstream
    from gateway.incoming import Here, Incoming
    from gateway.responses.keeper import Keeper


class ResponsesFlight(ExplainedFlight):
    """`POST /v1/responses`: the id of its answer is remembered."""

    def __init__(self, incoming: Incoming, here: Here, explainer: Explainer, keeper: Keeper) -> None:
        super().__init__(incoming, here, explainer)
        self._keeper = keeper

    def named(self, attempt: Attempt, response_id: str) -> None:
        endpoint = attempt.upstream.endpoint
        tenant = self.principal.tenant
        self._keeper.keep(Home(response_id, self.model, endpoint.engine, endpoint.replica, tenant))


class StoredPrompt(Prompt):
    """A request without a body, for the very path that its client named."""

    __slots__ = ("_method",)

    def __init__(self, incoming: Incoming) -> None:
        request = incoming.request
        super().__init__(incoming.operation, b"", incoming.parsed, request.fields, incoming.request_id)
        self._path = request.path.decode("latin-1")
        if request.query:
            self._path += "?" + request.query.decode("latin-1")
        self._method = request.method

    def outgoing(self, upstream: Upstream) -> Outgoing:
        return Outgoing(self._path, self._headers(), b"", self._method)


class StoredFlight(ExplainedFlight):
    """`/v1/responses/{id}` and what is below it. Its engine computes nothing for it."""

    def __init__(self, incoming: Incoming, here: Here, explainer: Explainer) -> None:
        super().__init__(incoming, here, explainer, StoredPrompt(incoming))
        facts = self.facts
        facts.prompt_tokens = facts.output_tokens = 0
        facts.streams = False
        # Records name the operation, not each response.
        self.request.path = self.operation.value.encode()
