"""A request that may be copied. It is served as any other; its copy begins after it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.explanation.flight import ExplainedFlight

if TYPE_CHECKING:
    from gateway.body.envelope import Envelope
    from gateway.explanation.explainer import Explainer
    from gateway.incoming import Here, Incoming
    from gateway.shadow.shadow import Shadow


class ShadowedFlight(ExplainedFlight):
    """See the module."""

    def __init__(self, incoming: Incoming, here: Here, explainer: Explainer, shadow: Shadow) -> None:
        """`shadow` takes a copy of it."""
        super().__init__(incoming, here, explainer)
        self._shadow: Shadow | None = shadow
        self._parsed: Envelope | None = incoming.parsed

    def begin(self) -> None:
        body, before = self.request.body, self.preparing
        super().begin()
        if self.preparing and not before and not self.settled:
            return  # it begins later
        shadow, parsed = self._shadow, self._parsed
        self._shadow = self._parsed = None
        if shadow is not None and parsed is not None:
            shadow.copy(self, body, parsed)
