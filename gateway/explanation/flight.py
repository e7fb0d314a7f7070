"""A request that is explained as it goes: each of its attempts is recorded, and told in a header where it asked so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.flight import Flight

if TYPE_CHECKING:
    from gateway.body.prompt import Prompt
    from gateway.explanation.explainer import Explainer
    from gateway.explanation.views import Decision
    from gateway.incoming import Here, Incoming
    from routing.model import Endpoint

ASKS: Final = b"x-penstock-explain"
"""The request header."""
MOST_IN_A_HEADER: Final = 8
"""Candidates: many a client takes no header over 8 KB."""


class ExplainedFlight(Flight):
    """See the module."""

    _decision: Decision | None = None
    """The last."""
    _decisions: dict[Endpoint, Decision] | None = None
    """The last of each endpoint: of two attempts at a time the first may answer."""

    def __init__(self, incoming: Incoming, here: Here, explainer: Explainer, prompt: Prompt | None = None) -> None:
        """`explainer` says whether the client may know, and hears of it if anybody wants to."""
        super().__init__(incoming, here, prompt)
        asked = incoming.request.fields.get(ASKS, b"0") not in (b"", b"0")
        self.tells = asked and explainer.may_ask(incoming.principal)
        """Whether the answer says why it comes from where it does."""
        told = self.tells or explainer.records(self.model, self.received_s)
        self.explainer: Explainer | None = explainer if told else None

    def send(self, endpoint: Endpoint, now: float) -> None:
        serving, explainer = self._serving, self.explainer
        if serving is not None and explainer is not None:
            self._decision = decision = explainer.decided(
                self.request_id.decode(),
                len(self.attempts) + 1,
                endpoint,
                serving.route,
                self.facts,
                self.queue_s,
                now,
                [attempt.upstream.endpoint for attempt in self.attempts],
            )
            if self._decisions is None:
                self._decisions = {}
            self._decisions[endpoint] = decision
        super().send(endpoint, now)

    def head_down(self) -> bytes:
        block = super().head_down()
        decision, attempt = self._decision, self.attempt
        if attempt is not None and self._decisions is not None:
            decision = self._decisions.get(attempt.upstream.endpoint, decision)
        if self.tells and decision is not None:
            block += b"x-penstock-routing: %b\r\n" % header(decision)
        return block


def header(decision: Decision) -> bytes:
    """The decision as JSON in one line of ASCII."""
    told = msgspec.to_builtins(decision)
    left = len(decision.candidates) - MOST_IN_A_HEADER
    if left > 0:
        told["candidates"] = told["candidates"][:MOST_IN_A_HEADER]
        told["candidates_left_out"] = left
    return json.dumps(told, separators=(",", ":")).encode()
