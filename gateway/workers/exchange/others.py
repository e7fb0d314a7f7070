"""What one worker asks of the control plane for its requests, and tells it of them: responses kept, adapters wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from gateway.links.questions import LinkError
from gateway.workers.exchange.messages import (
    AdapterAnswer,
    AdaptersUsed,
    AskAdapter,
    AskResponse,
    ResponseHome,
    ResponseKept,
    ToPlane,
)

if TYPE_CHECKING:
    from gateway.links.link import Link
    from gateway.responses.homes import Home
    from routing.choosing.adapters import Adapter

HOME_TIMEOUT_S: Final = 2.0
ADAPTER_TIMEOUT_S: Final = 120.0
"""Of loading it, and of loading what is loaded before it."""

log = structlog.get_logger()


class Others:
    """See `gateway.responses.keeper.Others` and `gateway.adapters.Plane`."""

    def __init__(self, link: Callable[[], Link[ToPlane] | None]) -> None:
        self._link = link

    def kept(self, home: Home) -> None:
        self._tell(ResponseKept(home))

    async def home_of(self, response_id: str) -> Home | None:
        link = self._link()
        if link is None:
            return None
        try:
            return (await link.ask(AskResponse(response_id), ResponseHome, timeout_s=HOME_TIMEOUT_S)).home
        except (LinkError, TimeoutError):
            return None

    def used(self, adapters: list[Adapter]) -> None:
        self._tell(AdaptersUsed(adapters))

    async def loaded(self, adapter: Adapter, more: bool, within_s: float = float("inf")) -> str:
        link = self._link()
        if link is None:
            return "there is no control plane"
        question, timeout_s = AskAdapter(*adapter, more), min(within_s, ADAPTER_TIMEOUT_S)
        try:
            return (await link.ask(question, AdapterAnswer, timeout_s=timeout_s)).problem
        except LinkError as error:
            log.warning("adapter_not_asked_for", engine=adapter[0], adapter=adapter[1], why=str(error))
            return "the control plane could not be asked"
        except TimeoutError:
            return f"it takes longer than {timeout_s:.3g} s"

    def _tell(self, message: ToPlane) -> None:
        link = self._link()
        if link is not None:
            link.tell(message, bulk=True)
