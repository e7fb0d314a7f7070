"""The control plane as the peer of one worker, at the other end of its link."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.control.plane import Plane
    from gateway.workers.messages import ToPlane, ToWorker


class FromWorker:
    """See the module."""

    def __init__(self, plane: Plane, worker: str, lost: Callable[[], None]) -> None:
        self._plane = plane
        self._worker = worker
        self._lost = lost

    def told(self, message: ToPlane) -> None:
        self._plane.told(self._worker, message)

    async def asked(self, message: ToPlane) -> ToWorker:
        return await self._plane.asked(self._worker, message)

    def link_lost(self) -> None:
        self._lost()
