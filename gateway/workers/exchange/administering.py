"""Admin requests that a worker passes on to the control plane, a bounded number at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.links.questions import LinkFull
from gateway.workers.exchange.messages import AdminAnswer, AdminRequest

if TYPE_CHECKING:
    from gateway.links.link import Link
    from gateway.workers.exchange.messages import ToPlane

TIMEOUT_S: Final = 30.0
AT_ONCE: Final = 16
"""Each holds at most 1 MiB of a request and 8 of an answer."""


class Administering:
    """Of one worker."""

    def __init__(self) -> None:
        self._waiting = 0

    async def ask(self, link: Link[ToPlane] | None, request: AdminRequest) -> AdminAnswer:
        """What the control plane answers. Raises TimeoutError or LinkError without an answer."""
        if link is None or self._waiting >= AT_ONCE:
            raise LinkFull("too many admin requests at once")
        self._waiting += 1
        try:
            return await link.ask(request, AdminAnswer, timeout_s=TIMEOUT_S, bulk=True)
        finally:
            self._waiting -= 1
