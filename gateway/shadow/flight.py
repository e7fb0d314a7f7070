"""A request that may be copied. It is served as any other; its copy begins after it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.explanation.flight import ExplainedFlight

if TYPE_CHECKING:
    from gateway.body.envelope import Envelope
    from gateway.shadow.shadow import Shadow


class ShadowedFlight(ExplainedFlight):
    """See the module. Whoever makes one sets `shadow` and `parsed` before it begins."""

    shadow: Shadow | None = None
    parsed: Envelope | None = None

    def begin(self) -> None:
        body, before = self.request.body, self.preparing
        super().begin()
        if self.preparing and not before and not self.settled:
            return  # it begins later
        shadow, parsed = self.shadow, self.parsed
        self.shadow = self.parsed = None
        if shadow is not None and parsed is not None:
            shadow.copy(self, body, parsed)
