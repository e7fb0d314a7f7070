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
        shadow, parsed, body = self.shadow, self.parsed, self.request.body
        self.shadow = self.parsed = None
        super().begin()
        if shadow is not None and parsed is not None:
            shadow.copy(self, body, parsed)
