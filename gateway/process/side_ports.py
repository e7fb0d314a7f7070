"""What the gateway listens on besides the port of clients: the admin port, and the one that KEDA asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.admin.port import admin_port
from gateway.scaler.server import ScalerPort
from gateway.scaler.service import ScalerService

if TYPE_CHECKING:
    from gateway.control.plane import Plane
    from gateway.process.supervisor import Supervisor


class SidePorts:
    """Those of the configuration in use. Bound when made, served from `listen` to `close`."""

    def __init__(self, plane: Plane, supervisor: Supervisor) -> None:
        """Raises CannotListen."""
        self.admin = admin_port(plane, supervisor)
        self.scaler: ScalerPort | None = None
        keda = plane.settings.autoscale.keda
        if keda is not None:
            service = ScalerService(plane.scaling.advised)
            plane.scaling.advised.changed = service.changed
            self.scaler = ScalerPort(keda, service)

    async def listen(self) -> None:
        """Serve from now on."""
        if self.admin is not None:
            await self.admin.listen()
        if self.scaler is not None:
            await self.scaler.listen()

    async def close(self) -> None:
        """Serve no more, at once."""
        if self.scaler is not None:
            await self.scaler.close()
        if self.admin is not None:
            self.admin.close()
