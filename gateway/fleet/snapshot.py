"""One version of the configuration, built whole and swapped with one assignment; requests finish on the one they began.

Everything a request would otherwise look up or format is here as bytes and objects: the response header block, the
metric series, the price rates and the deadlines of each endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engines.model import Deadlines
from engines.port import Engine
from gateway.identity import Keyring
from routing.fleet import Fleet
from routing.model import Endpoint
from routing.route import ModelRoute

if TYPE_CHECKING:
    from gateway.accounts.prices import GpuMeter, Rates
    from gateway.settings import Limits
    from gateway.telemetry.metrics import Series

UNNAMED: Final = ""
"""The arm of a model without an experiment."""


class Upstream:
    """One endpoint of one public model with everything the gateway needs to call it and to account for it."""

    __slots__ = ("arm", "deadlines", "endpoint", "engine", "headers", "meter", "rates", "series")

    def __init__(
        self,
        endpoint: Endpoint,
        engine: Engine,
        arm: str,
        deadlines: Deadlines,
        series: Series,
        rates: Rates | None,
        meter: GpuMeter | None,
    ) -> None:
        self.endpoint = endpoint
        self.engine = engine
        self.arm = arm
        self.deadlines = deadlines
        self.series = series
        self.rates = rates
        self.meter = meter
        self.headers = b"x-penstock-engine: %b\r\nx-penstock-replica: %b\r\n" % (
            endpoint.engine.encode(),
            endpoint.replica.encode(),
        )
        if arm:
            self.headers += b"x-penstock-arm: %b\r\n" % arm.encode()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the request path reads; immutable, but for the states it refers to."""

    keyring: Keyring
    limits: Limits
    fleet: Fleet
    routes: Mapping[tuple[str, str], ModelRoute]
    """By public model and arm. A model without an experiment has one arm, `UNNAMED`."""
    upstreams: Mapping[Endpoint, Upstream]
    engines: Mapping[str, Engine]
    digest: str
